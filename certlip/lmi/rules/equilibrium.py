"""The rule of an equilibrium block: (3) proven with a margin μ, (10) proven at the smallest L.

A block that (10) alone speaks about may not even be well-posed; (3) is always proven separately,
and its margin bounds the error of an approximate equilibrium (math of `certify`).
"""

from __future__ import annotations

import time

import numpy as np

from certlip.blocks import Equilibrium
from certlip.errors import InconclusiveError, RejectedError
from certlip.linalg.rigorous import (
    LowerBound,
    UpperBound,
    is_positive_definite,
    negative_direction,
    spectral_norm,
)
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, U, up
from certlip.lmi.analytic import Multipliers, multipliers
from certlip.lmi.conditions import Conditions
from certlip.lmi.proof import EquilibriumProof
from certlip.lmi.slack import SLACK

#: Relative increments δ of L that are tried: a boundary case needs 1e-14 … 1e-6, a wrong claim more.
LADDER = (0.0, *(10.0**e for e in range(-15, 0)), 1.0, 10.0, 100.0, 1000.0)


def prove_equilibrium(block: Equilibrium, *, lip: float | None = None) -> EquilibriumProof:
    """Proves (3) and (10) with the family's multipliers; `lip` asks for exactly that L.

    Raises:
        RejectedError: a condition is refuted for these multipliers.
        InconclusiveError: neither proven nor refuted in double precision, or no multipliers.
        InputError: multipliers that are not positive.
    """
    start = time.perf_counter()
    guess = multipliers(block)
    conditions = Conditions(block)
    mu = monotonicity(conditions, guess)
    proven = _smallest_lipschitz(conditions, guess, lip)
    return EquilibriumProof(
        "equilibrium",
        UpperBound(proven),
        guess.lip if lip is None else lip,
        time.perf_counter() - start,
        condition="10",
        method="analytic",
        family=guess.family,
        slack=_slack(conditions.lipschitz(guess.lam, proven)),
        lam=guess.lam,
        gam=guess.gam,
        mu=mu,
        gam_root_G=_weighted_norm(block.G.numpy(), guess.gam),
    )


def monotonicity(conditions: Conditions, guess: Multipliers) -> LowerBound:
    """A large μ > 0 for which 2Γ − ΓW − WᵀΓ ⪰ 2μΓ is proven: (3)."""
    root = 1.0 / np.sqrt(guess.gam)
    matrix = conditions.well_posed(guess.gam)
    scaled = root[:, None] * matrix.mid * root[None, :]
    if not np.isfinite(scaled).all():
        raise InconclusiveError(f"(3) overflows with Γ of {guess.family}")
    estimate = float(np.linalg.eigvalsh(scaled)[0]) / 2.0
    if estimate > 0.0:
        for share in (0.999, 0.9, 0.5, 0.1, 0.01):
            mu = share * estimate
            if is_positive_definite(conditions.well_posed(guess.gam, mu), slack=SLACK):
                return LowerBound(mu)
    _refute(matrix, "(3)", f"Γ of {guess.family}")
    raise InconclusiveError(
        f"(3) is neither proven nor refuted with Γ of {guess.family}: margin about {estimate:.3g}"
    )


def _smallest_lipschitz(conditions: Conditions, guess: Multipliers, lip: float | None) -> float:
    """The smallest L of the ladder for which (10) is proven."""

    def holds(value: float) -> bool:
        return is_positive_definite(conditions.lipschitz(guess.lam, value), slack=SLACK)

    if lip is not None:
        if holds(lip):
            return lip
        _refute(
            conditions.lipschitz(guess.lam, lip), f"(10) with L = {lip!r}", f"Λ of {guess.family}"
        )
        raise InconclusiveError(f"(10) with L = {lip!r} is neither proven nor refuted")
    candidates = [guess.lip * (1.0 + delta) for delta in LADDER]
    candidates = [float(candidate) for candidate in candidates if candidate < np.inf]
    low, high = 0, len(candidates)
    while low < high:  # more L only helps: bisect over the ladder
        middle = (low + high) // 2
        low, high = (low, middle) if holds(candidates[middle]) else (middle + 1, high)
    if low < len(candidates) and holds(candidates[low]):
        return _refined(candidates, low, holds)
    _refute(
        conditions.lipschitz(guess.lam, candidates[-1]),
        f"(10) with any L up to {candidates[-1]:.4g}",
        f"Λ of {guess.family}",
    )
    raise InconclusiveError(f"(10) is neither proven nor refuted with Λ of {guess.family}")


def _refined(candidates: list[float], found: int, holds) -> float:
    """Between two rungs of the ladder that lie far apart, halves the gap until it is below 0.1 %."""
    high = candidates[found]
    low = candidates[found - 1] if found else high
    while high - low > 1e-3 * low:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _slack(matrix: Ball) -> LowerBound:
    """A proven lower bound of the smallest eigenvalue, 0 where only positivity is proven."""
    estimate = float(np.linalg.eigvalsh(matrix.mid)[0])
    n = matrix.mid.shape[0]
    for share in (0.9, 0.5, 0.1):
        s = share * estimate
        if s > 0.0 and is_positive_definite(matrix - s * np.eye(n), slack=SLACK):
            return LowerBound(s)
    return LowerBound(0.0)


def _refute(matrix: Ball, what: str, multiplier: str) -> None:
    found = negative_direction(matrix)
    if found is not None:
        raise RejectedError(
            f"{what} does not hold with the {multiplier}: xᵀMx ≤ {found[1]:.6g} for a unit vector x"
        )


def _weighted_norm(G: np.ndarray, gam: np.ndarray) -> UpperBound:
    """‖GΓ^{−1/2}‖₂, rounded up."""
    root = np.sqrt(gam)
    inverse = 1.0 / root  # two roundings: relative error below 3u
    return spectral_norm(Ball(G) * Ball(inverse[None, :], up(3.0 * U * inverse[None, :]) + TINY))
