"""Proof that a symmetric block-tridiagonal matrix is positive definite, linear in the number of blocks.

    S = [[D₀, C₀ᵀ], [C₀, D₁, C₁ᵀ], [C₁, D₂, …], …]

A factor L̂ with the sparsity of S is guessed block by block; then S = τI + L̂L̂ᵀ + E with an E of that
sparsity, and S ≻ 0 if τ > ‖E‖₂. E is enclosed blockwise and bounded by its largest row sum. Nothing is
assumed of the guess, neither of LAPACK nor that L̂ is triangular, and the allowance for rounding grows
with the width of the blocks but not with their number, where that of `arrow` grows with the trace.
Source: the a-posteriori form of the argument in S. M. Rump, Verification of positive definiteness, BIT
46 (2006).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from certlip.linalg.rigorous.ball import Ball, magnitude
from certlip.linalg.rigorous.rounding import TINY, gamma, sum_up, up

#: How often τ is chosen again after a residual that was larger than it.
ATTEMPTS = 3


@dataclass(frozen=True)
class BlockTridiagonal:
    """Diagonal blocks D_k (w_k, w_k) and sub-diagonal blocks C_k (w_{k+1}, w_k) in the places (k+1, k).

    Raises:
        ValueError: shapes that do not fit.
    """

    D: Sequence[Ball]
    C: Sequence[Ball]

    def __post_init__(self) -> None:
        widths = [D.shape[0] for D in self.D]
        square = all(D.shape == (w, w) for D, w in zip(self.D, widths, strict=True))
        if not square or [C.shape for C in self.C] != list(zip(widths[1:], widths, strict=False)):
            raise ValueError(
                f"blocks {[D.shape for D in self.D]} and {[C.shape for C in self.C]}: expected those of "
                "one symmetric block-tridiagonal matrix"
            )


@np.errstate(over="ignore", invalid="ignore")
def is_block_tridiagonal_definite(S: BlockTridiagonal, *, slack: float = 1.0) -> bool:
    """True only if every symmetric matrix in the balls is positive definite. False says nothing.

    Args:
        S: The blocks; D_k with midpoint and radius exactly symmetric.
        slack: Factor ≥ 1 on every allowance for rounding.

    Raises:
        ValueError: slack below 1.
    """
    if not 1.0 <= slack < math.inf:
        raise ValueError(f"slack = {slack}: expected a finite number ≥ 1")
    if not S.D:
        return True
    if not all(np.isfinite(b.mid).all() and np.isfinite(b.radius()).all() for b in (*S.D, *S.C)):
        return False
    if not all(_symmetric(D.mid) and _symmetric(D.radius()) for D in S.D):
        return False
    if not all((np.diagonal(D.mid) > 0.0).all() for D in S.D):
        return False
    S = _balanced(S)
    widest = max(D.shape[0] for D in S.D)
    size = _largest_row(np.abs(D.mid) for D in S.D)
    tau = slack * (8.0 * gamma(widest + 4) * size + 2.0 * _largest_row(map(Ball.radius, S.D)))
    for _ in range(ATTEMPTS):
        factor = _factor(S, tau)
        if factor is None:
            return False
        needed = slack * _residual_norm(S, factor, tau)
        if tau > float(up(needed)):
            return True
        tau = 1.25 * needed
        if not tau < 1.0:  # also NaN: the diagonal is about 1
            return False
    return False


def _symmetric(A: np.ndarray) -> bool:
    return np.array_equal(A, A.T)


def _balanced(S: BlockTridiagonal) -> BlockTridiagonal:
    """The congruence by powers of two with diagonal of about 1: exact, TINY covers what is subnormal."""
    exponents = [
        np.clip(-np.round(np.log2(np.diagonal(D.mid)) / 2.0), -400.0, 400.0).astype(np.int32)
        for D in S.D
    ]
    scales = [np.ldexp(1.0, e) for e in exponents]

    def scaled(block: Ball, row: np.ndarray, column: np.ndarray) -> Ball:
        scale = row[:, None] * column
        return Ball(block.mid * scale, up(block.radius() * scale) + TINY)

    D = [scaled(D, s, s) for D, s in zip(S.D, scales, strict=True)]
    C = [scaled(C, scales[k + 1], scales[k]) for k, C in enumerate(S.C)]
    return BlockTridiagonal(D, C)


Factor = tuple[list[np.ndarray], list[np.ndarray]]


def _factor(S: BlockTridiagonal, tau: float) -> Factor | None:
    """A guess of the Cholesky factor of S − τI: D and C blocks; None where it breaks down."""
    diagonal: list[np.ndarray] = []
    below: list[np.ndarray] = []
    try:
        for k, D in enumerate(S.D):
            rest = D.mid - tau * np.eye(D.shape[0])
            if k:
                below.append(solve_triangular(diagonal[-1], S.C[k - 1].mid.T, lower=True).T)
                rest = rest - below[-1] @ below[-1].T
            diagonal.append(np.linalg.cholesky(rest))
    except (np.linalg.LinAlgError, ValueError):  # not definite, or no longer finite
        return None
    return diagonal, below


def _residual_norm(S: BlockTridiagonal, factor: Factor, tau: float) -> float:
    """An upper bound of ‖S − τI − L̂L̂ᵀ‖₂ for every S in the balls: the largest row sum, rounded up."""
    D, C = ([Ball(block) for block in blocks] for blocks in factor)
    rows: list[np.ndarray] = []
    for k, L in enumerate(D):
        E = S.D[k] - tau * np.eye(L.shape[0]) - L @ L.T
        if k:
            E = E - C[k - 1] @ C[k - 1].T
            below = magnitude(S.C[k - 1] - C[k - 1] @ D[k - 1].T)
            rows[k - 1] = up(rows[k - 1] + sum_up(below, axis=0))
            rows.append(up(sum_up(magnitude(E)) + sum_up(below)))
        else:
            rows.append(sum_up(magnitude(E)))
    return float(np.max(np.concatenate(rows)))  # NaN if one is: never passed over


def _largest_row(arrays: Iterable[np.ndarray]) -> float:
    return float(max(sum_up(array).max() for array in arrays))
