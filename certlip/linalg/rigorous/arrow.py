"""Proof that a block-tridiagonal matrix with a border of a few dense rows is positive definite.

    S = [[D_1, B_1ᵀ,         X_1ᵀ],
         [B_1, D_2,  B_2ᵀ,   X_2ᵀ],
         [     B_2,  …            ],
         [X_1, X_2,  …,      C   ]]

Cholesky's method in this order fills nothing in: time and memory are linear in the number of blocks. The
proof is that of `cholesky` (Rump, BIT 46, 2006): run on S̃ with S̃_ii ≤ S_ii − c − r to a finite factor with
positive diagonal, it proves every matrix within the radius. c bounds the error of ordinary dot products
in any order, so of products block by block too; triangular solves substitute, with a division or a
rounded reciprocal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.linalg

from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, U, down, sum_up, up


@dataclass(frozen=True)
class Arrow:
    """Diagonal blocks D_k (n_k, n_k), blocks below them B_k (n_{k+1}, n_k), the border X_k (q, n_k) and its
    corner C (q, q); D_k and C exactly symmetric, q may be 0.

    Raises:
        ValueError: shapes that do not fit, or a block on the diagonal that is not exactly symmetric.
    """

    diagonal: Sequence[Ball]
    below: Sequence[Ball]
    border: Sequence[Ball]
    corner: Ball

    def __post_init__(self) -> None:
        sizes = [block.shape[0] for block in self.diagonal]
        q = self.corner.shape[0]
        found = [
            [block.shape for block in blocks]
            for blocks in (self.diagonal, self.below, self.border, [self.corner])
        ]
        wanted = [
            [(n, n) for n in sizes],
            [(after, n) for n, after in pairwise(sizes)],
            [(q, n) for n in sizes],
            [(q, q)],
        ]
        if not sizes or found != wanted:
            raise ValueError(f"blocks of shapes {found}: expected {wanted}")
        for block in (*self.diagonal, self.corner):
            for part in (block.mid, block.radius()):
                if not np.array_equal(part, part.T, equal_nan=True):
                    raise ValueError("a block on the diagonal is not exactly symmetric")

    @property
    def order(self) -> int:
        return sum(len(block.mid) for block in self.diagonal) + len(self.corner.mid)

    def blocks(self) -> list[Ball]:
        """All blocks of the lower triangle."""
        return [*self.diagonal, *self.below, *self.border, self.corner]


@np.errstate(over="ignore", invalid="ignore")
def is_arrow_positive_definite(arrow: Arrow, *, slack: float = 1.0) -> bool:
    """True only if every symmetric matrix in the blocks' balls is positive definite. False says nothing.

    Args:
        slack: Factor ≥ 1 on every allowance for rounding.
    """
    if not 1.0 <= slack < math.inf:
        raise ValueError(f"slack = {slack}: expected a finite number ≥ 1")
    if not all(np.isfinite(b.mid).all() and np.isfinite(b.radius()).all() for b in arrow.blocks()):
        return False
    diagonal = np.concatenate([np.diagonal(b.mid) for b in (*arrow.diagonal, arrow.corner)])
    if not (diagonal > 0.0).all():
        return False
    n = len(diagonal)
    k = n + 3
    relative = math.nextafter(k * U / math.nextafter(1.0 - 2 * k * U, 0.0), math.inf)
    c = up(relative * sum_up(diagonal)) + 16.0 * n * (n + 2.0 + diagonal.max()) * TINY
    shift = float(up(slack * up(c + _radius_norm(arrow))))
    return math.isfinite(shift) and _completes(arrow, shift)


def _radius_norm(arrow: Arrow) -> float:
    """r ≥ ‖R‖₂: the largest row sum of the radii, rounded up."""
    rows = [sum_up(block.radius()) for block in arrow.diagonal]
    last = sum_up(arrow.corner.radius())
    for k, block in enumerate(arrow.below):
        rows[k + 1] = up(rows[k + 1] + sum_up(block.radius()))
        rows[k] = up(rows[k] + sum_up(block.radius(), axis=0))
    for k, block in enumerate(arrow.border):
        if len(block.mid):
            rows[k] = up(rows[k] + sum_up(block.radius(), axis=0))
            last = up(last + sum_up(block.radius()))
    return float(np.concatenate([*rows, last]).max())


def _completes(arrow: Arrow, shift: float) -> bool:
    """Whether Cholesky of the shifted matrix ends with a finite factor with positive diagonal."""
    border, corner = None, _shifted(arrow.corner.mid, shift)
    left: np.ndarray | None = None  # the factor's block below the diagonal, of the step before
    for k, block in enumerate(arrow.diagonal):
        D, X = _shifted(block.mid, shift), arrow.border[k].mid
        if left is not None and border is not None:
            D, X = D - left @ left.T, X - border @ left.T
        factor = _factor(D)
        if factor is None:
            return False
        border = _divided(X, factor)
        corner = corner - border @ border.T
        if k < len(arrow.below):
            left = _divided(arrow.below[k].mid, factor)
            if not np.isfinite(left).all():
                return False
        if not np.isfinite(border).all():
            return False
    return not len(corner) or _factor(corner) is not None


def _shifted(block: np.ndarray, shift: float) -> np.ndarray:
    shifted = block.copy()
    np.fill_diagonal(shifted, down(np.diagonal(block) - shift))
    return shifted


def _factor(S: np.ndarray) -> np.ndarray | None:
    """The lower factor, if it is finite with positive diagonal."""
    if not np.isfinite(S).all():  # completion on NaN would prove nothing
        return None
    try:
        factor = np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        return None
    good = np.isfinite(factor).all() and (np.diagonal(factor) > 0.0).all()
    return factor if good else None


def _divided(X: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """X R⁻¹ for the lower factor Rᵀ, by substitution."""
    if not len(X):
        return X
    return scipy.linalg.solve_triangular(factor, X.T, lower=True, check_finite=False).T
