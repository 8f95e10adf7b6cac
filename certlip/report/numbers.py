"""Proven numbers as people read them: rounded, but only to the safe side.

An upper bound is never shown smaller than it is, a radius or a certified share never larger.
"""

from __future__ import annotations

import math
import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from certlip.errors import InputError

_EPS = re.compile(r"-?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,3})?(/\d{1,40})?", re.ASCII)
NONE = "–"
"""Shown where there is no number."""


def parse_eps(text: str | float) -> Fraction:
    """Return ε exactly: `36/255`, `0.25` or a number, 0 or more.

    Raises:
        InputError: not a number, negative or infinite.
    """
    try:
        if isinstance(text, str) and not _EPS.fullmatch(text):  # 1e999999999 has a billion digits
            raise ValueError
        eps = Fraction(text)
    except (ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise InputError(f"eps {text!r:.60}: expected a number such as 36/255 or 0.5") from error
    if eps < 0:
        raise InputError(f"eps {text!r:.60}: expected 0 or more")
    return eps


def finite(value: Any) -> float | None:
    """Return a JSON number, or None for null, NaN and infinity.

    Raises:
        InputError: something that is not a number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"results: {value!r} where a number was expected")
    return float(value) if math.isfinite(value) else None


def percent(value: Any, digits: int = 2) -> str:
    """Return a share as a percentage, rounded down: 0.95278 → `95.27 %`."""
    number = finite(value)
    if number is None:
        return NONE
    # The repr of 0.29 is the decimal that was meant; its double is just below and would floor.
    share = Decimal(repr(number)) * 100
    return f"{share.quantize(Decimal(1).scaleb(-digits), ROUND_FLOOR)} %"


def upper(value: Any, digits: int = 6) -> str:
    """Return an upper bound with `digits` significant digits, rounded up."""
    return _rounded(value, Context(prec=digits, rounding=ROUND_CEILING))


def lower(value: Any, digits: int = 4) -> str:
    """Return a lower bound with `digits` significant digits, rounded down."""
    return _rounded(value, Context(prec=digits, rounding=ROUND_FLOOR))


def measured(value: Any, digits: int = 3) -> str:
    """Return a measurement (time, throughput), rounded to nearest."""
    number = finite(value)
    if number is None:
        return NONE
    if abs(number) >= 10**digits:
        return f"{number:,.0f}"
    return f"{number:.{digits}g}"


def _rounded(value: Any, context: Context) -> str:
    """Round a number, or a string that reads back as a double, and write it out."""
    if value is None:
        return NONE
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise InputError(f"results: {value!r} where a number was expected") from error
    if not number.is_finite():
        return NONE
    short = context.plus(number)
    if short == 0 or 1e-4 <= abs(short) < 1e7:
        text = f"{short:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{short.normalize(context):e}"
