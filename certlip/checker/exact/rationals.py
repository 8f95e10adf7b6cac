"""Arrays of fractions, roots from above, and the sign of a symmetric matrix."""

from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np

rational: Any = np.frompyfunc(Fraction, 1, 1)  # the exact numbers of an array
LARGEST = 100  # the order up to which factorizations in fractions are bearable


class Refused(Exception):
    """A certificate that this route does not speak about."""


def root_up(x: Fraction) -> Fraction:
    """An upper bound of √x, at most 2⁻¹⁹⁹ above it."""
    return Fraction(isqrt(-(-(x.numerator << 400) // x.denominator)) + 1, 1 << 200)


def is_semidefinite(S: np.ndarray) -> bool:
    """Whether a symmetric matrix is ⪰ 0, by its factorization LDLᵀ."""
    if len(S) > LARGEST:
        raise Refused(f"a matrix of order {len(S)}, expected at most {LARGEST}")
    while len(S):
        pivot, row = S[0, 0], S[0, 1:]
        if pivot < 0 or (pivot == 0 and row.any()):
            return False
        S = S[1:, 1:] - np.outer(row, row / pivot) if pivot else S[1:, 1:]
    return True
