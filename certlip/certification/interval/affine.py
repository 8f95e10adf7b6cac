"""y = Wx + b on boxes: W on the centre, |W| on the radius."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from certlip.blocks import Affine
from certlip.certification.interval.base import Step
from certlip.linalg.rigorous.ball import Ball, as_ball, magnitude
from certlip.linalg.rigorous.rounding import TINY, gamma, norm_up, sum_up, up


class Linear(Step):
    """|y − (Wc + b)| ≤ |W|r, and the rounding of Wc + b: two products.

    Every output is a sum of k products and its bias: |fl(Wc + b) − (Wc + b)| ≤ γ_{k+1}(|W||c| + |b|) in any
    order of the sums, so that γ_{k+1}|c| joins the radius before its product. Of a point, without
    radius, γ_{k+1}‖w_i‖‖c‖ is enough, and one product. W and b may be balls: what they are off by is
    bounded as well, and a W that is off by at most η of itself, with η ≤ γ_{k+1}, counts as exact with
    γ_{k+1} + η. What the radius loses on its way is made good in its weights, beforehand.

    Args:
        W: The products of every sum, (sums, k).
        b: (sums,).
        repeat: How many outputs have the same products, one after the other.
    """

    linear = True

    def __init__(self, W: np.ndarray | Ball, b: np.ndarray | Ball, repeat: int = 1) -> None:
        self.W, self.b, self.repeat = as_ball(W), as_ball(b), repeat
        k = self.W.shape[1]
        self.off = gamma(k + 1)
        share = _share(self.W)
        near = share <= self.off
        if near:
            self.off = float(up(self.off + share))
        # nonnegative sums of k terms, each rounded a few times on its way
        room = 1.0 + 2.0 * gamma(k + 8)
        self.mid_T, self.size_T = self.W.mid.T, up(magnitude(self.W) * room).T
        self.rad_T = None if near or self.W.rad is None else up(self.W.rad * room).T
        shift = np.abs(self.b.mid) * self.off + self.b.radius()
        # γ|c| may underflow where c is denormal, and |W| be large
        floor = up((shift + TINY * (1.0 + sum_up(self.size_T, axis=0))) * room)
        rows = norm_up(self.size_T, axis=0)
        self.bias, self.floor, self.rows = (np.repeat(a, repeat) for a in (self.b.mid, floor, rows))

    @abstractmethod
    def sums(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """x (batch, d) with weights (k, sums) in place of W: (batch, outputs)."""

    def __call__(self, box: Ball) -> Ball:
        if box.rad is None and self.W.rad is None:
            mid, size = self.point(box.mid)
            rad = np.multiply(size[:, None], self.rows, out=np.empty_like(mid))
            rad += self.floor
            return Ball(mid, rad)
        return self.onward(Ball(box.mid.copy("K"), box.radius()))

    @np.errstate(over="ignore", invalid="ignore", under="ignore")
    def point(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Wx + b for rows x (batch, d) and an exact W; it is off by s·rows + floor at most, s (batch,)."""
        return self._centre(x), up(norm_up(x) * self.off)

    def onward(self, box: Ball) -> Ball:
        if box.rad is None:
            return self(box)
        mid, left = self._centre(box.mid), np.abs(box.mid, out=box.mid)
        spread = None if self.rad_T is None else self.sums(left, self.rad_T)
        left *= self.off
        left += box.rad
        rad = self._radius(left)
        if spread is not None:
            rad += spread
        return Ball(mid, rad)

    def widened(self, box: Ball) -> Ball:
        """The same for an exact W, where γ_{k+1}|c| has joined the radius."""
        assert self.rad_T is None
        return Ball(self._centre(box.mid), self._radius(box.radius()))

    def _radius(self, r: np.ndarray) -> np.ndarray:
        y = self.sums(r, self.size_T)
        y += self.floor
        return y

    def _centre(self, x: np.ndarray) -> np.ndarray:
        y = self.sums(x, self.mid_T)
        y += self.bias
        return y


class Matrix(Linear):
    """W as it stands: every output has products of its own."""

    def __init__(self, W: np.ndarray | Ball, b: np.ndarray | Ball) -> None:
        super().__init__(W, b)
        # products with few outputs are twice as fast that way
        self.mid_T, self.size_T = map(np.ascontiguousarray, (self.mid_T, self.size_T))
        if self.rad_T is not None:
            self.rad_T = np.ascontiguousarray(self.rad_T)

    def sums(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return x @ weights


def _share(W: Ball) -> float:
    """η ≥ 0 such that W is off by at most η of itself, entry by entry; NaN or ∞ where there is none."""
    if W.rad is None or not W.rad.size:
        return 0.0
    with np.errstate(over="ignore", divide="ignore", invalid="ignore", under="ignore"):
        shares = np.where(W.rad == 0.0, 0.0, up(W.rad) / np.abs(W.mid))
        return float(up(shares.max()) + TINY)  # a quotient may underflow


def affine(block: Affine) -> list[Step]:
    return [Matrix(block.W.numpy(), block.b.numpy())]
