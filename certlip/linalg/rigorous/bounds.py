"""Proven numbers as types of their own, so that a guess cannot end up in a certificate by accident."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class UpperBound:
    """A proven upper bound of a nonnegative quantity: finite, ≥ 0.

    Only code that has done the proof constructs one; reports print `str()`, which reads back to the
    same double.
    """

    value: float

    def __post_init__(self) -> None:
        if not (isinstance(self.value, float) and 0.0 <= self.value < math.inf):
            raise ValueError(f"an upper bound is a finite float ≥ 0, got {self.value!r}")

    def __mul__(self, other: UpperBound) -> UpperBound:
        """The product, rounded up: the Lipschitz bound of a composition (exact when representable)."""
        product = self.value * other.value
        exact = Fraction(self.value) * Fraction(other.value)
        if not math.isfinite(product):
            raise ValueError(f"{self.value!r} · {other.value!r} overflows")
        return UpperBound(
            product if Fraction(product) >= exact else math.nextafter(product, math.inf)
        )

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class LowerBound:
    """A proven lower bound of a nonnegative quantity: finite, ≥ 0."""

    value: float

    def __post_init__(self) -> None:
        if not (isinstance(self.value, float) and 0.0 <= self.value < math.inf):
            raise ValueError(f"a lower bound is a finite float ≥ 0, got {self.value!r}")

    def __str__(self) -> str:
        return repr(self.value)


SQRT2 = UpperBound(math.nextafter(math.sqrt(2.0), math.inf))
ONE = UpperBound(1.0)


def product(bounds: list[UpperBound]) -> UpperBound:
    """∏ L_k, rounded up."""
    result = ONE
    for bound in bounds:
        result = result * bound
    return result
