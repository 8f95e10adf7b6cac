"""What is proven of (3) and (10) for given multipliers: a large μ, the smallest L, or that they fail."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from certlip.errors import InconclusiveError, RejectedError
from certlip.linalg.rigorous import LowerBound, UpperBound
from certlip.lmi.analytic import Multipliers
from certlip.lmi.conditions import Conditions
from certlip.lmi.everywhere import Everywhere, Matrix

#: Relative increments δ of L that are tried: a boundary case needs 1e-14 … 1e-6, a wrong claim more.
LADDER = (0.0, *(10.0**e for e in range(-15, 0)), 1.0, 10.0, 100.0, 1000.0)


def monotonicity(
    conditions: Everywhere, gam: np.ndarray, source: str, claimed: bool = True
) -> LowerBound:
    """A large μ > 0 for which 2Γ − ΓW − WᵀΓ ⪰ 2μΓ is proven: (3)."""

    def scaled(each: Conditions) -> np.ndarray:
        root = 1.0 / np.sqrt(each.of.spread(gam))
        return root[:, None] * each.well_posed(gam).mid * root[None, :]

    estimate = conditions.smallest_eigenvalue(scaled) / 2.0
    if np.isnan(estimate):
        raise InconclusiveError(f"(3) overflows with Γ of {source}")
    if estimate > 0.0:
        for share in (0.999, 0.9, 0.5, 0.1, 0.01):
            mu = share * estimate
            if conditions.definite(lambda each, mu=mu: each.well_posed(gam, mu)):
                return LowerBound(mu)
    of = f"Γ of {source}"
    _refute(conditions, lambda each: each.well_posed(gam), "(3)", of, claimed)
    raise InconclusiveError(
        f"(3) is neither proven nor refuted with {of}: margin about {estimate:.3g}"
    )


def smallest_lipschitz(conditions: Everywhere, guess: Multipliers, lip: float | None) -> UpperBound:
    """The smallest L of the ladder for which (10) is proven."""
    of = f"Λ of {guess.source}"

    def matrix(value: float) -> Matrix:
        return lambda each: each.lipschitz(guess.lam, value)

    def holds(value: float) -> bool:
        return conditions.definite(matrix(value))

    if lip is not None:
        if holds(lip):
            return UpperBound(lip)
        _refute(conditions, matrix(lip), f"(10) with L = {lip!r}", of, guess.solver is None)
        raise InconclusiveError(f"(10) with L = {lip!r} is neither proven nor refuted")
    if not 0.0 < guess.lip < np.inf:
        raise InconclusiveError(f"{of} comes with L = {guess.lip}")
    candidates = [guess.lip * (1.0 + delta) for delta in LADDER]
    candidates = [float(candidate) for candidate in candidates if candidate < np.inf]
    low, high = 0, len(candidates)
    while low < high:  # more L only helps: bisect over the ladder
        middle = (low + high) // 2
        low, high = (low, middle) if holds(candidates[middle]) else (middle + 1, high)
    if low < len(candidates) and holds(candidates[low]):
        return UpperBound(_refined(candidates, low, holds))
    what = f"(10) with any L up to {candidates[-1]:.4g}"
    _refute(conditions, matrix(candidates[-1]), what, of, guess.solver is None)
    raise InconclusiveError(f"(10) is neither proven nor refuted with {of}")


def _refined(candidates: list[float], found: int, holds: Callable[[float], bool]) -> float:
    """Between two rungs of the ladder that lie far apart, halves the gap until it is below 0.1 %."""
    high = candidates[found]
    low = candidates[found - 1] if found else high
    while high - low > 1e-3 * low:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def slack_of(conditions: Everywhere, guess: Multipliers, lip: float) -> LowerBound:
    """A proven lower bound of the smallest eigenvalue in (10), 0 where only positivity is proven."""
    estimate = conditions.smallest_eigenvalue(lambda each: each.lipschitz(guess.lam, lip).mid)
    for share in (0.9, 0.5, 0.1):
        s = share * estimate
        if s > 0.0 and conditions.definite(
            lambda each, s=s: each.lipschitz(guess.lam, lip) - s * np.eye(each.order)
        ):
            return LowerBound(s)
    return LowerBound(0.0)


def _refute(
    conditions: Everywhere, matrix: Matrix, what: str, multiplier: str, claimed: bool
) -> None:
    """Raises an error if the condition is false for these multipliers."""
    found = conditions.negative(matrix)
    if found is None:
        return
    message = f"{what} does not hold with the {multiplier}: xᵀMx ≤ {found:.6g} for a unit vector x"
    # a family claims its multipliers; that a solver found bad ones says nothing about the block
    raise (RejectedError if claimed else InconclusiveError)(message)
