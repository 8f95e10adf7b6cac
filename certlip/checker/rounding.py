"""Outward rounding: upper bounds of expressions that float64 evaluates with bounded error.

With u = 2⁻⁵³, k roundings multiply a nonnegative term by at least (1 − u)ᵏ, and a sum of k products
in any order is within γ_k Σ|terms|, γ_k = ku/(1 − ku) (Higham, Accuracy and Stability, ch. 3).
Underflow adds at most 2⁻¹⁰⁷⁴ per operation: every bound carries TINY = 2⁻⁸⁰⁰, which dominates that
and keeps slow denormals out of BLAS. NaN and infinity stay, and fail the comparison they reach.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

UNIT = 2.0**-53
TINY = 2.0**-800


def gamma(k: int) -> float:
    """Upper bound of γ_k; 1 − ku is exact, so the quotient is the only rounding."""
    return float(np.nextafter(k * UNIT / (1.0 - k * UNIT), np.inf))


def over(x, k: int):
    """Upper bound of a nonnegative value whose evaluation `x` took at most k < 2²⁶ roundings.

    The factor 1 + mu, even m ≥ k + 4, is exact, and (1 + (k + 4)u)(1 − u)² ≥ 1/(1 − u)ᵏ pays for
    the product and the sum below as well. Only +, ·, / and √ of nonnegative terms count.
    """
    return x * (1.0 + (k + 5) // 2 * 2.0 * UNIT) + TINY


def total(x: Array) -> Array:
    """Upper bound of the sum of nonnegative entries along the last axis.

    A binary tree of sums has only log₂ roundings on each path, so that the bound is sharp.
    """
    depth = 0
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        x = np.concatenate([x[..., :half] + x[..., half : 2 * half], x[..., 2 * half :]], axis=-1)
        depth += 1
    return over(x[..., 0], depth)


def norm(x: Array) -> Array:
    """Upper bound of ‖x‖₂ along the last axis; TINY under the root covers underflow of squares."""
    return over(np.sqrt(over(total(x * x), 1)), 1)


def dot(x: Array, W: Array, b=None, radius: Array | float = 0.0) -> tuple[Array, Array]:
    """Return v and r with |v − (x'Wᵀ + b)| ≤ r for every x' with |x' − x| ≤ radius.

    r = (γ_k|x| + radius)|W|ᵀ + γ_k|b|, evaluated upward; k counts the products and the bias.
    A BLAS may raise floating-point flags on padding, so flags are ignored and values decide.
    """
    k = W.shape[1] + 1
    with np.errstate(all="ignore"):
        value = x @ W.T
        error = over(gamma(k) * np.abs(x) + radius, 2) @ np.abs(W).T
        if b is not None:
            value, error = value + b, error + gamma(k) * np.abs(b)
        return value, over(error, k + 2)


def up(x: Fraction | float) -> float:
    """A double above x ≥ 0, if x is exact or rounded once; OverflowError beyond all doubles."""
    return float(np.nextafter(float(x), np.inf))
