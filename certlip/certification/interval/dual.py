"""Margins behind an equilibrium of matrices and ReLU, with one linear pass over the box that was
verified.

For z = σ(v), v = Wz + c, c = Ux + b, and any row s, with a = g + Wᵀs,

    g·z = a·z − s·v + s·c ≥ Σ_i min { a_i σ(v_i) − s_i v_i : v̲_i ≤ v_i ≤ v̄_i } + min { s·(Ux + b) : x
    in its box },

since s·v = s·Wz + s·c. σ is piecewise linear, so that the i-th minimum is that of both ends, and 0 if
they differ in sign. s is a guess: the fixed point of s_i = (slope of a line below or above σ on its
interval)·a_i, which contracts as |W| does, is what linear relaxation (CROWN, Zhang et al., NeurIPS
2018) of an endless network gives. What depends on x through many states is counted once here, and once
for each of them by boxes.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import Network
from certlip.blocks.activations import ReLU
from certlip.certification.interval.affine import Matrix
from certlip.certification.interval.base import onward
from certlip.certification.interval.box import ends
from certlip.certification.interval.equilibrium import State
from certlip.certification.interval.network import IntervalBounds
from certlip.errors import UnsupportedError
from certlip.linalg.rigorous.ball import Ball, magnitude
from certlip.linalg.rigorous.rounding import TINY, down, gamma, sum_up, up

#: Steps of the fixed point for s: what is left is of no use to any certificate.
STEPS = 40


class DualBounds(IntervalBounds):
    """Interval bounds, and the better of two bounds for every margin.

    Raises:
        UnsupportedError: as `IntervalBounds` says; or the network does not end in an equilibrium of
        matrices
            and ReLU.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        states = [k for k, step in enumerate(self.steps) if isinstance(step, State)]
        at = states[-1] if states else 0
        driving, state, tail = self.steps[at - 1], self.steps[at], self.steps[at + 1 :]
        relu = isinstance(state, State) and state.sigma.sigma.segments[0][0] == ReLU()
        if not (
            isinstance(state, State)
            and relu
            and len(state.sigma.sigma.segments) == 1
            and isinstance(driving, Matrix)
            and isinstance(state.W, Matrix)
            and all(isinstance(step, Matrix) for step in tail)
        ):
            raise UnsupportedError("the last blocks are no equilibrium of matrices and ReLU")
        self.driving, self.state, self.W = driving, state, state.W.W
        self._divide(self.steps[: at - 1])

    def _lower(self, box: Ball, a: np.ndarray) -> np.ndarray:
        x = onward(self.body, box)
        c = self.driving(x)
        z = self.state(c)
        lowers = self.margins.lower(z, a)
        low, high = ends(self.state.W(z) + c)
        for each in np.unique(a):
            rows = np.flatnonzero(a == each)
            found = self._against(self.margins.rows(int(each)), x[rows], low[rows], high[rows])
            lowers[rows] = np.fmax(lowers[rows], found)
        return lowers

    def _against(self, D: Matrix, x: Ball, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """(rows, classes): bounds of all rows of Dz + d."""
        s = self._guess(D.W.mid, low, high)
        n, q = len(low), len(D.W.mid)
        flat = s.reshape(n * q, -1)
        a = (Ball(flat) @ self.W).reshape(n, q, -1) + D.W
        least = np.minimum(_at(a, s, low[:, None]), _at(a, s, high[:, None]))
        crossing = ((low < 0.0) & (high > 0.0))[:, None]
        least = np.where(crossing, np.minimum(least, 0.0), least)
        total = _sum_down(least)
        t = (Ball(flat) @ self.driving.W).reshape(n, q, -1)
        reach = _inner_down(t, x)
        shift = (Ball(flat) @ self.driving.b.reshape(-1, 1)).reshape(n, q) + D.b
        return down(down(total + reach) + down(shift.mid - up(shift.radius())))

    def _guess(self, g: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """s (rows, classes, n)."""
        span = np.where(high > low, high - low, 1.0)
        above = np.clip(np.where(low >= 0.0, 1.0, high / span), 0.0, 1.0)[:, None]
        above = np.where(np.isfinite(above), above, 0.0)
        below = np.where((low >= 0.0) | (high > -low), 1.0, 0.0)[:, None]
        below = np.where(high[:, None] <= 0.0, 0.0, below)
        s = np.zeros((len(low), *g.shape))
        for _ in range(STEPS):
            a = g + s @ self.W.mid
            s = a * np.where(a >= 0.0, below, above)
        return s


def _at(a: Ball, s: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A lower bound of a·max(v, 0) − s·v, entry by entry."""
    value = a * np.broadcast_to(np.maximum(v, 0.0), s.shape) - Ball(s) * np.broadcast_to(v, s.shape)
    return down(value.mid - up(value.radius()))


def _sum_down(terms: np.ndarray) -> np.ndarray:
    """A lower bound of the sum along the last axis."""
    off = up(gamma(terms.shape[-1]) * sum_up(np.abs(terms)))
    return down(terms.sum(axis=-1) - off)


def _inner_down(t: Ball, x: Ball) -> np.ndarray:
    """A lower bound of Σ_k t_k x_k (rows, classes) over all t (rows, classes, d) and the box x (rows,
    d)."""
    rows, size = x.mid[:, :, None], np.abs(x.mid)[:, :, None]
    mid = (t.mid @ rows)[..., 0]
    k = t.shape[-1]
    # TINY: as for matrices, γ times denormal numbers may underflow
    off = (np.abs(t.mid) * gamma(k) + t.radius() + TINY) @ size
    off = off + magnitude(t) @ x.radius()[:, :, None]
    return down(mid - up(off[..., 0] * (1.0 + 2.0 * gamma(k + 8)) + TINY))
