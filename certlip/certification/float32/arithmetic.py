"""Float32 as it is deployed: u = 2⁻²⁴, and numbers below 2⁻¹²⁶ may be flushed to zero anywhere.

Higham (Accuracy and Stability, ch. 3): a sum of k products in any order, in float32 or with a wider
accumulator, with or without fused operations, is off by at most γ_k Σ|a_i||x_i|. What underflows, in an
operand or in a result, is off by at most η = 2⁻¹²⁶ whether subnormal numbers are kept or flushed.
"""

from __future__ import annotations

import math

import numpy as np

from certlip.errors import InconclusiveError
from certlip.linalg.rigorous.rounding import TINY

U32 = 2.0**-24  # unit roundoff of float32, round to nearest
ETA = 2.0**-126  # the smallest normal float32
HUGE = 2.0**127  # nothing of at most this size overflows by one rounding

#: The longest dot product that is bounded: γ stays below 1/3 with room for what else is rounded.
LONGEST = 2**21


def gamma32(k: int) -> float:
    """An upper bound of γ_k = ku/(1 − ku) with the u of float32.

    Raises:
        InconclusiveError: dot products so long that float32 keeps no digit of them for certain.
    """
    if k > LONGEST:
        raise InconclusiveError(
            f"float32 dot products of {k:,} terms: expected at most {LONGEST:,}"
        )
    ku = k * U32  # exact
    return math.nextafter(ku / (1.0 - ku), math.inf)  # 1 − ku is exact too: k has 22 bits


def upward(x):
    """Above the exact value of a formula that was computed plainly in float64.

    For sums, products, quotients and roots of nonnegative numbers only, in at most 2¹⁰ operations: nothing
    cancels, so that the computed value is at least (1 − 2⁻⁵³)^1024 of the exact one.
    """
    return x * (1.0 + 2.0**-40) + TINY


def bounded(size: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The error where nothing above `size` is computed on the way; infinite where that may overflow."""
    return np.where(size <= HUGE, error, np.inf)  # NaN ends up infinite
