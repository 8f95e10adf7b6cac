"""Outward rounding on top of round-to-nearest: u = 2⁻⁵³, one outward step per rounded operation.

All functions take and return nonnegative numbers unless they say otherwise. NaN stays NaN and is
rejected where a comparison decides.
"""

from __future__ import annotations

import math

import numpy as np

U = 2.0**-53  # unit roundoff of IEEE double, round to nearest
# Stands for every underflow term. The true ones are small multiples of 2⁻¹⁰⁷⁴; a normal number is
# as good a bound and keeps denormals, which are slow, out of the matrix products.
TINY = 2.0**-1000


_STEP = 1.0 + 4.0 * U


def up(x):
    """Above x ≥ 0 by at least one double and at most a relative 6u; of an exact zero, zero.

    fl(x(1 + 4u)) ≥ x(1 + 4u)(1 − u) covers the one rounding of a normal x, TINY that of a subnormal
    one. (`nextafter` is one unit and ten times slower.) Sums and products of nonnegative numbers
    only round to zero when they are zero or underflow, and underflow is added as TINY.
    """
    return np.where(x == 0.0, 0.0, x * _STEP + TINY)


def down(x):
    """The next double below, for a number of any sign."""
    return np.nextafter(x, -np.inf)


def gamma(k: int) -> float:
    """An upper bound of γ_k = ku/(1 − ku), the relative error of a dot product of length k."""
    if not 0 <= k < 2**40:
        raise ValueError(f"gamma of {k}: expected a length below 2^40")
    ku = k * U  # exact: k has fewer than 53 bits and U is a power of two
    return math.nextafter(ku / math.nextafter(1.0 - ku, 0.0), math.inf)


@np.errstate(over="ignore", invalid="ignore")
def sum_up(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Upper bound of the sum of nonnegative entries along an axis: fl(Σ)(1 + 2(k + 2)u), upward."""
    k = x.shape[axis]
    return up(np.sum(x, axis=axis) * (1.0 + (k + 2) * 2.0 * U))


@np.errstate(over="ignore", invalid="ignore")
def norm_up(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Upper bound of the Euclidean norm along one axis, for entries of any sign."""
    k = x.shape[axis]
    squares = _squares(x, axis)
    # k + 1 roundings whatever the order of the sum; a square may underflow
    return up(np.sqrt(up(squares * (1.0 + (k + 3) * 2.0 * U) + TINY)))


def _squares(x: np.ndarray, axis: int) -> np.ndarray:
    """Σ x² along an axis, without an array of squares; along the last one as products of rows."""
    if axis in (-1, x.ndim - 1):
        return np.matmul(x[..., None, :], x[..., :, None])[..., 0, 0]
    moved = np.moveaxis(x, axis, 0)
    return np.einsum("i...,i...->...", moved, moved)
