"""Proven numbers as types of their own, so that no guess ends up in a certificate by accident."""

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
        object.__setattr__(self, "value", _plain(self.value))

    def __mul__(self, other: UpperBound) -> UpperBound:
        """The product, rounded up: the Lipschitz bound of a composition."""
        if not isinstance(other, UpperBound):  # a lower bound would make the product no bound
            return NotImplemented
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
        object.__setattr__(self, "value", _plain(self.value))

    def __str__(self) -> str:
        return repr(self.value)


def _plain(value: float) -> float:
    """A Python float (the repr of NumPy's cannot be read back) without a negative zero."""
    return float(value) + 0.0


SQRT2 = UpperBound(math.nextafter(math.sqrt(2.0), math.inf))
ONE = UpperBound(1.0)


def product(bounds: list[UpperBound]) -> UpperBound:
    """∏ L_k, rounded up."""
    result = ONE
    for bound in bounds:
        result = result * bound
    return result
