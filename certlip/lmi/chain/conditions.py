"""Condition (10) of a chain as a block-tridiagonal matrix with a rigorous entrywise error.

    diagonal blocks 2Λ_k, the first less Λ_1A_0A_0ᵀΛ_1/L, the last less A_KᵀA_K/L;   below −Λ_{k+1}A_k

(Havens et al., NeurIPS 2023, Theorem 3.1 with the W, U, G of a chain.) It is ⪰ 0 in (10), and proven ≻ 0
here; Λ ≻ 0 follows from the diagonal but is checked all the same.
"""

from __future__ import annotations

import numpy as np

from certlip.errors import InputError
from certlip.linalg.rigorous.ball import Ball, diagonal, mirrored
from certlip.linalg.rigorous.block_tridiagonal import BlockTridiagonal
from certlip.lmi.chain.problem import Chain
from certlip.lmi.conditions import positive


class ChainConditions:
    """The conditions of a chain with at least one hidden layer; A_0A_0ᵀ and A_KᵀA_K are kept."""

    def __init__(self, chain: Chain) -> None:
        if not chain.depth:
            raise InputError("a chain without hidden states has no multipliers")
        self.chain = chain
        self.UU = mirrored(chain.A[0] @ chain.A[0].T)
        self.GG = mirrored(chain.A[-1].T @ chain.A[-1])

    def lipschitz(self, lam: np.ndarray, lip: float) -> BlockTridiagonal:
        """The matrix of (10) for Λ (n,) and L.

        Raises:
            InputError: L or an entry of Λ is not positive and finite, or Λ has another length.
        """
        if not 0.0 < lip < np.inf:
            raise InputError(f"L = {lip}: a Lipschitz bound is positive and finite")
        parts = [Ball(part) for part in self.chain.split(positive("lam", lam, self.chain.n))]
        D = [diagonal(2.0 * part) for part in parts]
        first = parts[0]
        D[0] = mirrored(D[0] - (first[:, None] * self.UU) * first[None, :] / lip)
        D[-1] = mirrored(D[-1] - self.GG / lip)
        C = [-(lam[:, None] * A) for lam, A in zip(parts[1:], self.chain.A[1:-1], strict=True)]
        return BlockTridiagonal(D, C)
