"""ε in raw input units, written as `36/255`, `0.1` or `1`, and compared rounded up."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from certlip.errors import InputError

# What docs/certificate.md lets a checker read: a decimal, or a quotient of two whole numbers.
_PATTERN = re.compile(
    r"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?|([0-9]{1,40})/([0-9]{1,40})"
)


@dataclass(frozen=True)
class Eps:
    """An ε as it was written and the smallest double at or above it."""

    text: str
    upper: float

    @property
    def lower(self) -> float:
        """The largest double at or below it: no point of that ball is farther out than ε."""
        above = Fraction(self.upper) > Fraction(self.text)
        return math.nextafter(self.upper, 0.0) if above else self.upper


def parse_eps(text: str) -> list[Eps]:
    """The comma-separated ε of an option.

    Raises:
        InputError: an entry that is not a positive finite number or quotient, or given twice.
    """
    values = [_one(part.strip()) for part in text.split(",")]
    if len({value.text for value in values}) < len(values):
        raise InputError(f"--eps {text}: a value is given twice")
    return values


def _one(part: str) -> Eps:
    match = _PATTERN.fullmatch(part)
    if match is None:
        raise InputError(f"--eps {part!r}: expected a positive number such as 36/255, 0.1 or 1")
    if match[2] is not None and int(match[2]) == 0:
        raise InputError(f"--eps {part!r}: a number over 0; expected one such as 36/255, 0.1 or 1")
    exact = Fraction(part)
    try:
        value = float(exact)
    except OverflowError:
        value = math.inf
    if not 0.0 < value < math.inf:
        raise InputError(f"--eps {part!r}: expected a positive finite number")
    return Eps(part, value if Fraction(value) >= exact else math.nextafter(value, math.inf))
