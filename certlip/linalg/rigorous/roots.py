"""cos and sin of 2πk/N with a proven error, from integer arithmetic alone.

The mathematics library promises nothing about its sines. Here the angle is reduced exactly, as a
rational part of a turn, to [0, π/4]; the Taylor series runs in fixed point with 128 bits, π comes
from Machin's formula, and the result is rounded to the nearest double once.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np

from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import U, up

BITS = 128
_ONE = 1 << BITS
#: Bounds the error of the fixed-point values with room to spare: some 30 truncations of a unit 2⁻¹²⁸ in
#: the series, and some 2000 in π, of which an angle of at most an eighth of a turn takes a quarter.
_FIXED = 2.0**-110


@lru_cache(maxsize=64)
def roots_of_unity(n: int) -> tuple[Ball, Ball]:
    """Balls around cos(2πk/n) and sin(2πk/n) for k = 0 … n − 1, each (n,), radius about 2⁻⁵³.

    Multiples of a quarter turn are exact.

    Raises:
        ValueError: n below 1.
    """
    if n < 1:
        raise ValueError(f"roots of unity of order {n}: expected at least 1")
    pairs = [_cos_sin(Fraction(k, n)) for k in range(n)]
    return _enclosed([c for c, _ in pairs]), _enclosed([s for _, s in pairs])


def _enclosed(fixed: list[int]) -> Ball:
    mid = np.array([x / _ONE for x in fixed])  # integers divide with one correct rounding
    exact = np.array([x in (0, _ONE, -_ONE) for x in fixed])
    return Ball(mid, np.where(exact, 0.0, up(U * np.abs(mid)) + _FIXED))


def _cos_sin(turn: Fraction) -> tuple[int, int]:
    """cos and sin of 2π·turn in fixed point, 0 ≤ turn < 1."""
    if turn > Fraction(1, 2):
        c, s = _cos_sin(1 - turn)
        return c, -s
    if turn > Fraction(1, 4):
        c, s = _cos_sin(Fraction(1, 2) - turn)
        return -c, s
    if turn > Fraction(1, 8):
        c, s = _cos_sin(Fraction(1, 4) - turn)
        return s, c
    angle = 2 * _pi() * turn.numerator // turn.denominator
    return _taylor(angle, 0), _taylor(angle, 1)


def _taylor(angle: int, first: int) -> int:
    """Σ (−1)ʲ angleᵐ/m! over m = first + 2j: the cosine for first = 0, the sine for first = 1."""
    square = angle * angle >> BITS
    size, sign, total, m = angle if first else _ONE, 1, 0, first
    while size:
        total += sign * size
        m += 2
        size, sign = (size * square >> BITS) // (m * (m - 1)), -sign
    return total


@lru_cache(maxsize=1)
def _pi() -> int:
    """π = 16 arctan(1/5) − 4 arctan(1/239) (Machin) in fixed point."""
    return 16 * _arctan_inverse(5) - 4 * _arctan_inverse(239)


def _arctan_inverse(x: int) -> int:
    """arctan(1/x) = Σ (−1)ʲ/((2j + 1)x²ʲ⁺¹) in fixed point."""
    power, sign, total, odd = _ONE // x, 1, 0, 1
    while power:
        total += sign * (power // odd)
        power, sign, odd = power // (x * x), -sign, odd + 2
    return total
