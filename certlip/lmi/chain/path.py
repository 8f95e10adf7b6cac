"""The iterate of the primal-dual method: (Λ̃, ρ) with S ≻ 0, and Z ≻ 0 on the pattern of S."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from certlip.lmi.chain.marginals import Marginals, dual_bound, inner, relative_gap
from certlip.lmi.chain.newton import Directions, Step
from certlip.lmi.chain.recursion import Pattern, completed, inverse, schur_factors
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.start import Point

#: The share of the way to the boundary; how well that is known, and for a step that is only looked at.
REACH, KNOWN, ROUGHLY = 0.95, 0.1, 0.3
#: Where the search for a length begins, and its steps until it has passed the boundary.
GUESS, WIDER = 0.4, 1.5
#: The least share σ of μ that a step aims at.
LEAST = 1e-3
#: Tolerance of the Newton systems, and that far from the optimum, where steps are short anyway: what they
#: leave of infeasibility of Z, `dual_bound` does away with, at the cost of a lower bound.
TOLERANCE, LOOSE = 1e-2, 0.05
#: Far from the optimum: above this gap of the point of the central path at μ. Single precision is enough.
NEAR = 3e-3


class Path:
    """Follows the central path from an interior point; keeps the best Λ̃, ρ and dual bound."""

    def __init__(self, chain: ScaledChain, best: Point, start: Point, lower: float = 0.0) -> None:
        self.chain = chain
        self.best_lam, self.best_rho = best
        self.lam, self.rho = start
        factors = schur_factors(chain, *start)
        assert factors is not None
        self.P = inverse(chain, self.lam, factors)
        self.Z = self.P.times(1.0 / float(Marginals.of(chain, self.P.blocks).input))
        self.lower = max(lower, dual_bound(chain, self.Z.blocks))
        self.single = True  # whether single precision has been enough so far
        self.lengths: dict[tuple[str, float], float] = {}  # of the last step, to search from
        self.idle = 0  # steps since ρ or the dual bound got better

    @property
    def gap(self) -> float:
        return relative_gap(self.best_rho, self.lower)

    def advance(self, *, centring: bool = False) -> bool:
        """One step of both, to the centre at the same μ or beyond; False if none is possible."""
        mu = self._complementarity(self.lam, self.rho, self.Z.blocks)
        directions = self._directions(near=0.5 * mu * self.chain.order < NEAR * self.rho)
        step = directions.step(mu if centring else self._share(directions.step(0.0), mu) * mu)
        lam, rho = self._moved(step, min(1.0, REACH * self._primal_length(step)))
        factors = schur_factors(self.chain, lam, rho)
        Z = completed(self.Z.blocks.plus(min(1.0, REACH * self._dual_length(step)), step.Z))
        if factors is None or Z is None:
            return False
        self.lam, self.rho, self.Z = lam, rho, Z
        self.P = inverse(self.chain, lam, factors)
        self._remember()
        return True

    def _directions(self, near: bool) -> Directions:
        at = self.chain, self.P, self.Z
        found = Directions.in_single(*at, LOOSE) if self.single and not near else None
        self.single = found is not None
        return found or Directions.at(*at, TOLERANCE if near else LOOSE)

    def _remember(self) -> None:
        before = self.best_rho, self.lower
        self.lower = max(self.lower, dual_bound(self.chain, self.Z.blocks))
        if self.rho < self.best_rho:
            self.best_lam, self.best_rho = self.lam, self.rho
        self.idle = 0 if (self.best_rho, self.lower) != before else self.idle + 1

    def _share(self, ahead: Step, mu: float) -> float:
        """σ of Mehrotra (1992): the square of what would be left of μ by a step straight ahead."""
        lam, rho = self._moved(ahead, min(1.0, self._primal_length(ahead, ROUGHLY)))
        Z = self.Z.blocks.plus(min(1.0, self._dual_length(ahead, ROUGHLY)), ahead.Z)
        left = max(self._complementarity(lam, rho, Z), 0.0) / mu
        return min(max(left**2, LEAST), 1.0)

    def _complementarity(self, lam: list[Tensor], rho: float, Z: Pattern) -> float:
        """μ = tr(SZ)/order."""
        return inner(lam, rho, Marginals.of(self.chain, Z)) / self.chain.order

    def _moved(self, step: Step, length: float) -> Point:
        parts = step.lam.split(self.chain.widths)
        lam = [own + length * part for own, part in zip(self.lam, parts, strict=True)]
        return lam, self.rho + length * step.rho

    def _primal_length(self, step: Step, known: float = KNOWN) -> float:
        def inside(length: float) -> bool:
            lam, rho = self._moved(step, length)
            return rho > 0.0 and schur_factors(self.chain, lam, rho) is not None

        return self._longest("primal", inside, known)

    def _dual_length(self, step: Step, known: float = KNOWN) -> float:
        def inside(length: float) -> bool:
            return completed(self.Z.blocks.plus(length, step.Z)) is not None

        return self._longest("dual", inside, known)

    def _longest(self, of: str, inside: Callable[[float], bool], known: float) -> float:
        """The largest length that stays inside, up to a share `known` of it; 1/`REACH` at most."""
        longest = 1.0 / REACH
        low, high = 0.0, math.inf
        length = self.lengths.get((of, known), GUESS)
        while low < longest and high > 1e-12 and high - low > known * min(high, 1.0):
            if inside(length):
                low = length
            else:
                high = length
            if high == math.inf:
                length = min(low * WIDER, longest)
            else:
                length = high / WIDER if low == 0.0 else 0.5 * (low + high)
        self.lengths[of, known] = low or GUESS
        return low
