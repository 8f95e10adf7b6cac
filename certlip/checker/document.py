"""Typed reading of the JSON document, and the two ways in which a certificate can fail."""

import re
from fractions import Fraction
from typing import Any

_NUMBER = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_RATIO = re.compile(r"([0-9]{1,40})/([0-9]{1,40})", re.ASCII)


class CertificateError(ValueError):
    """The file cannot be read as a certificate: nothing was judged."""


class Rejected(Exception):
    """A claim of a readable certificate could not be proven; becomes a verdict."""


def field(node: dict, key: str, kind: type, item: type | None = None) -> Any:
    """Return node[key] of exactly this JSON type (a boolean is no integer), as are its items."""
    value: Any = node.get(key)
    if type(value) is not kind or (item and any(type(part) is not item for part in value)):
        of = f" of {item.__name__}" if item else ""
        raise CertificateError(f"{key!r} is {value!r:.60}, expected {kind.__name__}{of}")
    return value


def only(node: dict, *keys: str) -> dict:
    """Return the object, which must have just these keys: an unknown one might change a meaning."""
    if set(node) != set(keys):
        raise CertificateError(f"keys {sorted(node)!r:.200}, expected {sorted(keys)}")
    return node


def number(node: dict, key: str) -> float:
    """Return the double that the string node[key] denotes: finite, not negative."""
    text = field(node, key, str)
    if not _NUMBER.fullmatch(text) or float(text) == float("inf"):
        raise CertificateError(f"{key!r} is {text!r:.60}, expected a finite number >= 0 as text")
    return float(text)


def rational(text: str) -> Fraction:
    """Return the exact value of a perturbation size such as `36/255`, `1`, `0.1` or `1e-3`."""
    ratio = _RATIO.fullmatch(text)
    if not (_NUMBER.fullmatch(text) or (ratio and int(ratio[2]))):
        raise CertificateError(f"eps {text!r:.60}, expected text like 36/255, 1, 0.1 or 1e-3")
    return Fraction(text)
