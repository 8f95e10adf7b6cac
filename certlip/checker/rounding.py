"""Outward rounding: upper bounds of expressions that float64 evaluates with bounded error.

With u = 2⁻⁵³, k roundings multiply a nonnegative term by at least (1 − u)ᵏ, and a sum of k products
in any order is within γ_k Σ|terms|, γ_k = ku/(1 − ku) (Higham, Accuracy and Stability, ch. 3).
Underflow adds at most 2⁻¹⁰⁷⁴ per operation: every bound carries TINY = 2⁻⁸⁰⁰, which dominates that
and keeps slow denormals out of BLAS. NaN and infinity stay, and fail the comparison they reach.
"""

from fractions import Fraction
from math import prod

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
UNIT, TINY, ONE = 2.0**-53, 2.0**-800, np.ones(1)


def gamma(k: int) -> float:
    """Upper bound of γ_k; 1 − ku is exact, so the quotient is the only rounding."""
    return float(np.nextafter(k * UNIT / (1.0 - k * UNIT), np.inf))


def over(x, k: int):
    """Upper bound of a sum, product, quotient or root ≥ 0 that took at most k < 2²⁶ roundings.

    1 + mu, even m ≥ k + 4, is exact; (1 + (k + 4)u)(1 − u)² ≥ 1/(1 − u)ᵏ pays for these two as well.
    """
    return x * (1.0 + (k + 5) // 2 * 2.0 * UNIT) + TINY


def up(x: Fraction | float) -> float:
    """A double above x ≥ 0, if x is exact or rounded once; OverflowError beyond all doubles."""
    return float(np.nextafter(float(x), np.inf))


def total(x: Array) -> Array:
    """Upper bound of sums of nonnegative entries along the last axis, by a tree of log₂ depth."""
    depth = 0
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        x = np.concatenate([x[..., :half] + x[..., half : 2 * half], x[..., 2 * half :]], axis=-1)
        depth += 1
    return over(x[..., 0], depth)


def norm(x: Array) -> Array:
    """Upper bound of ‖x‖₂ along the last axis; TINY under the root covers underflow of squares."""
    return over(np.sqrt(over(total(x * x), 1)), 1)


def lines(A: Array) -> Fraction:
    """Upper bound of ‖A‖₁‖A‖_∞ ≥ ‖A‖₂² for A ≥ 0 (…, m, n), exact if no line has two entries."""
    sums = (np.where((B > 0.0).sum(-1) < 2, B.max(-1), total(B)) for B in (A, A.swapaxes(-1, -2)))
    return prod((Fraction(float(line.max())) for line in sums), start=Fraction(1))


def size(A: Array) -> float:
    """Upper bound of ‖·‖₂ of nonnegative matrices (…, m, n): by sums of lines, or all entries."""
    entries = norm(A.reshape(-1, A.shape[-2] * A.shape[-1])).max()
    return float(min(over(np.sqrt(up(lines(A))), 1), entries))


def dot(x: Array, W: Array, radius: Array, blur: Array | float = 0.0) -> tuple[Array, Array]:
    """v, r with |v − x'W'ᵀ| ≤ r for |x' − x| ≤ radius, |W' − W| ≤ blur; also of stacks."""
    k, WT = W.shape[-1], W.swapaxes(-1, -2)
    with np.errstate(all="ignore"):  # a BLAS may raise flags on padding; values decide
        error = over(gamma(k) * np.abs(x) + radius, 2) @ np.abs(WT)
        if np.any(blur):
            error = error + over(np.abs(x) + radius, 1) @ np.swapaxes(blur, -1, -2)
        return x @ WT, over(error, k + 2)
