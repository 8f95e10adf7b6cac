"""Typed reading of the JSON document. What is not as the contract says is a CertificateError."""

import re
from fractions import Fraction

from certlip.checker.verdict import CertificateError

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_FRACTION = re.compile(r"([0-9]+)/([0-9]+)", re.ASCII)
_TYPES = {dict: "an object", list: "a list", str: "a string", int: "an integer"}


def field(node: dict, key: str, kind: type):
    """Return node[key], which must have exactly the JSON type `kind` (a boolean is no integer)."""
    if key not in node:
        raise CertificateError(f"{key!r} is missing beside {sorted(node)}")
    if type(node[key]) is not kind:
        raise CertificateError(f"{key!r} is {node[key]!r:.60}, expected {_TYPES[kind]}")
    return node[key]


def items(node: list, kind: type) -> list:
    """Return the list, whose items must all have the JSON type `kind`."""
    for item in node:
        if type(item) is not kind:
            raise CertificateError(f"list item {item!r:.60}, expected {_TYPES[kind]}")
    return node


def only(node: dict, *keys: str) -> dict:
    """Return the object, which must have exactly these keys: an unknown one may change a meaning."""
    if set(node) != set(keys):
        raise CertificateError(f"keys {sorted(node)}, expected {sorted(keys)}")
    return node


def number(node: dict, key: str) -> float:
    """Return the double that the string node[key] denotes: finite, not negative."""
    text = field(node, key, str)
    if len(text) > 40 or not _NUMBER.fullmatch(text) or float(text) == float("inf"):
        raise CertificateError(f"{key!r} is {text!r:.60}, expected a finite number >= 0 as text")
    return float(text)


def rational(text: str) -> Fraction:
    """Return the exact value of a perturbation size such as `36/255`, `1`, `0.1` or `1e-3`."""
    parts = _FRACTION.fullmatch(text)
    if len(text) <= 40 and parts and int(parts[2]):
        return Fraction(int(parts[1]), int(parts[2]))
    if len(text) <= 40 and _NUMBER.fullmatch(text):
        return Fraction(text)
    raise CertificateError(f"eps {text!r:.60}, expected text like 36/255, 1, 0.1 or 1e-3")
