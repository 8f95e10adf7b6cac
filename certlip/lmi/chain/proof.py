"""The proof of a chain: the smallest L for which the block-tridiagonal matrix of (10) is verified.

W is strictly block lower-triangular by construction, so the network is well-posed and (10) alone is
enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from certlip.errors import InconclusiveError, InputError
from certlip.linalg.rigorous import UpperBound, spectral_norm
from certlip.linalg.rigorous.block_tridiagonal import is_block_tridiagonal_definite
from certlip.lmi.chain.conditions import ChainConditions
from certlip.lmi.chain.problem import Chain
from certlip.lmi.inequality import LADDER
from certlip.lmi.slack import SLACK


def prove_chain(chain: Chain, lam: np.ndarray | None = None, lip: float = 1.0) -> UpperBound:
    """The smallest L ≥ `lip` of a ladder for which (10) is proven with Λ; ‖A_0‖ without hidden layers.

    Raises:
        InputError: multipliers or L that are not positive and finite.
        InconclusiveError: none is proven.
    """
    if any(not A.mid.any() and not A.radius().any() for A in chain.A):
        return UpperBound(0.0)  # constant
    if not chain.depth:
        return spectral_norm(chain.A[0], slack=SLACK)
    if lam is None:
        raise InputError("a chain with hidden layers needs multipliers")
    conditions = ChainConditions(chain)

    def holds(value: float) -> bool:
        matrix = conditions.lipschitz(lam, value)
        return is_block_tridiagonal_definite(matrix, slack=SLACK)

    if holds(lip):  # also: refuses Λ and L that are no multipliers
        return UpperBound(lip)
    candidates = [c for c in (float(lip * (1.0 + delta)) for delta in LADDER) if c < math.inf]
    low, high = 0, len(candidates)
    while low < high:  # more L only helps: bisect over the ladder
        middle = (low + high) // 2
        low, high = (low, middle) if holds(candidates[middle]) else (middle + 1, high)
    if low == len(candidates) or not holds(candidates[low]):
        raise InconclusiveError(f"(10) is proven for no L up to {candidates[-1:]} with this Λ")
    return UpperBound(_refined(candidates[max(low - 1, 0)], candidates[low], holds))


def _refined(low: float, high: float, holds: Callable[[float], bool]) -> float:
    """Between two rungs, a proven L within a quarter of their distance, where that is worth it."""
    for _ in range(2):
        if high - low < 1e-9 * low:
            break
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
