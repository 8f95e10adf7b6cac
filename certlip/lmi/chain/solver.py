"""The optimal multipliers of a chain: a log-determinant barrier method whose steps cost O(Kw³).

    minimise tρ − log det S(Λ̃, ρ),   t → ∞

(Λ̃ ≻ 0 follows from S ≻ 0: its diagonal is 2Λ̃.) Newton's directions come from conjugate gradients with
the exact Hessian of overlapping windows as preconditioner. Away from the central path a step is taken
at the nearest t; near it t grows, by more where the last growth did no harm. A step is at most Newton's
and goes at most `REACH` of the way to the boundary: longer ones, even where they minimise the barrier
along the line, end in a zigzag. Every direction also gives a dual bound, and the gap between the two
ends the iteration.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from certlip.errors import InputError
from certlip.lmi.candidate import FAILED, INACCURATE, OPTIMAL, STOPPED, Candidate
from certlip.lmi.chain.newton import Directions
from certlip.lmi.chain.problem import Chain
from certlip.lmi.chain.recursion import Inverse, schur_factors
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.start import boundary, inside, tightened

NAME = "chain"
ITERATIONS = 300
#: How near to the central path (‖d‖²_H) t grows, the share of the way to the boundary, and the largest
#: t as a multiple of what the gap asks for.
NEAR, REACH, AHEAD = 0.3, 0.7, 10.0
#: Tolerances of a direction before there is a dual bound, and after.
FAR, CLOSE = 1e-2, 1e-5
#: Steps without any progress after which the accuracy of doubles is used up.
PATIENCE = 40

Progress = Callable[[int, float, float], None]


def minimise_chain(
    chain: Chain,
    *,
    start: np.ndarray | None = None,
    tol: float = 1e-5,
    max_seconds: float | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Candidate:
    """The smallest L that (10) proves for the chain, and its Λ.

    Args:
        chain: Any depth; without hidden layers, or constant, there is nothing to find (`lam` None).
        start: Λ (n,) to start from, positive; taken only where it is better than the closed form.
        tol: Relative gap L/L* − 1 at which to stop.
        max_seconds: Limit; the best feasible point so far is returned.
        progress: Called with the iteration, L, and the gap (infinite while there is no dual bound).

    Raises:
        InputError: tol is not positive, or the start is not positive or has another length.
    """
    begun = time.perf_counter()
    if not tol > 0.0:
        raise InputError(f"tol = {tol}: expected a positive number")
    if start is not None and (start.shape != (chain.n,) or not (start > 0.0).all()):
        raise InputError(f"start of shape {start.shape}: expected ({chain.n},), positive")
    scaled = ScaledChain.of(chain, device)

    def answer(lam: list[Tensor] | None, rho: float, status: str, **more) -> Candidate:
        seconds = time.perf_counter() - begun
        if lam is None or scaled is None:
            return Candidate(None, rho, status, NAME, 0, seconds, **more)
        found, lip = scaled.multipliers(lam, rho)
        return Candidate(found, lip, status, NAME, seconds=seconds, **more)

    if scaled is None:
        return answer(None, 0.0, OPTIMAL, gap=0.0, message="a matrix is zero: constant")
    if not chain.depth:
        return answer(None, scaled.scale(), OPTIMAL, gap=0.0, message="no hidden states")
    first = boundary(scaled, start)
    interior = first and inside(scaled, *first)
    if first is None or interior is None:
        return answer(None, math.inf, FAILED, message="no feasible start in double precision")
    path = _Path(scaled, first, interior)
    iteration, status = 0, INACCURATE
    for iteration in range(ITERATIONS):
        if max_seconds is not None and time.perf_counter() - begun > max_seconds:
            status = STOPPED
            break
        moved = path.advance()
        if progress is not None:
            progress(iteration, math.sqrt(path.best_rho) * scaled.scale(), path.gap)
        if path.gap <= tol:
            status = OPTIMAL
            break
        if not moved or path.idle > PATIENCE:
            break
    lam, rho = tightened(scaled, path.best_lam, path.best_rho)
    return answer(lam, rho, status, iterations=iteration + 1, gap=path.gap_of(rho))


class _Path:
    """The iterate, its best dual bound, and how far to go along the central path at a time."""

    def __init__(
        self,
        chain: ScaledChain,
        best: tuple[list[Tensor], float],
        start: tuple[list[Tensor], float],
    ) -> None:
        self.chain = chain
        self.best_lam, self.best_rho = best
        self.lam, self.rho = start
        factors = schur_factors(chain, *start)
        assert factors is not None
        self.factors = factors
        self.lower = 0.0
        self.t = math.inf
        self.leap = 6.0  # ‖d‖²_H of the next growth of t
        self.since = 1  # steps since t grew
        self.nearest, self.farthest = math.inf, 0.0  # to the central path, and along it
        self.idle = 0  # steps since any of these, ρ or the dual bound got better

    @property
    def gap(self) -> float:
        return self.gap_of(self.best_rho)

    def gap_of(self, rho: float) -> float:
        """√(ρ/lower) − 1."""
        return math.sqrt(rho / self.lower) - 1.0 if self.lower > 0.0 else math.inf

    def advance(self) -> bool:
        """One Newton step; False if none is possible."""
        point = Inverse(self.chain, self.lam, self.factors)
        directions = Directions.at(point, FAR if self.lower == 0.0 else CLOSE)
        before = self.best_rho, self.lower, self.farthest, self.nearest
        self.lower = max(self.lower, directions.lower_bound())
        self._choose_weight(directions)
        moved = self._step(*directions.direction(self.t))
        if self.rho < self.best_rho:
            self.best_lam, self.best_rho = self.lam, self.rho
        self.nearest = min(self.nearest, directions.off_centre)
        self.farthest = max(self.farthest, self.t)
        now = self.best_rho, self.lower, self.farthest, self.nearest
        self.idle = 0 if now != before else self.idle + 1
        return moved

    def _choose_weight(self, directions: Directions) -> None:
        if directions.off_centre >= NEAR:
            if directions.best_t < self.t or self.lower == 0.0:
                self.t = max(directions.best_t, 0.0)
            self.since += 1
            return
        if self.since == 0:
            self.leap = min(4.0 * self.leap, 4.0 * self.chain.order)
        elif self.since > 1:
            self.leap = max(self.leap / 4.0, 1.0)
        self.t = directions.weight(self.leap)
        if self.lower > 0.0:
            self.t = min(self.t, AHEAD * self.chain.order / max(self.rho - self.lower, 1e-300))
        self.since = 0

    def _step(self, d: Tensor, d_rho: float) -> bool:
        """Moves along d: by 1, or by `REACH` of the way to the boundary, found by bisection."""
        parts = list(d.split(self.chain.widths))

        def at(alpha: float) -> tuple[list[Tensor], float, list[Tensor] | None]:
            lam = [own + alpha * part for own, part in zip(self.lam, parts, strict=True)]
            rho = self.rho + alpha * d_rho
            return lam, rho, schur_factors(self.chain, lam, rho) if rho > 0.0 else None

        inside, outside = 0.0, 1.0 / REACH
        if at(outside)[2] is not None:
            inside = outside
        else:
            while outside - inside > 0.1 * outside and outside > 1e-12:
                middle = 0.5 * (inside + outside)
                feasible = at(middle)[2] is not None
                inside, outside = (middle, outside) if feasible else (inside, middle)
        lam, rho, factors = at(REACH * inside)
        if factors is None or inside == 0.0:
            return False
        self.lam, self.rho, self.factors = lam, rho, factors
        return True
