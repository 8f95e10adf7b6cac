"""Typed reading of the JSON document, and the two ways in which a certificate can fail."""

import json
import math
import re
from fractions import Fraction
from typing import Any

import numpy as np

_NUMBER = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_RATIO = re.compile(r"[0-9]{1,40}/0*[1-9][0-9]{0,39}", re.ASCII)


class CertificateError(ValueError):
    """The file cannot be read as a certificate: nothing was judged."""


class Rejected(Exception):
    """A claim of a readable certificate could not be proven; becomes a verdict."""


def parse(text: bytes) -> dict:
    """Parse strict JSON: no NaN, no infinity, no duplicate key, an object at the top."""
    hooks = {"parse_constant": _finite, "parse_float": _finite, "object_pairs_hook": _unique}
    return field({"document": json.loads(text.decode("utf-8"), **hooks)}, "document", dict)


def _unique(pairs: list) -> dict:
    if len(dict(pairs)) != len(pairs):
        raise CertificateError(f"JSON object {pairs!r:.200}, expected each key once")
    return dict(pairs)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise CertificateError(f"JSON number {text:.60}, expected a finite one")
    return float(text)


def field(node: dict, key: str, kind: type) -> Any:
    """Return node[key] of exactly this JSON type: a boolean is no integer."""
    if type(node.get(key)) is not kind:
        raise CertificateError(f"{key!r} is {node.get(key)!r:.60}, expected {kind.__name__}")
    return node[key]


def only(node: dict, *keys: str) -> dict:
    """Return the object, which must have just these keys: an unknown one might change a meaning."""
    if type(node) is not dict or set(node) != set(keys):
        raise CertificateError(f"keys {sorted(node)!r:.200}, expected {sorted(keys)}")
    return node


def number(node: dict, key: str) -> float:
    """Return the double that the string node[key] denotes: finite, not negative."""
    text = field(node, key, str)
    if not _NUMBER.fullmatch(text) or float(text) == math.inf:
        raise CertificateError(f"{key!r} is {text!r:.60}, expected a finite number >= 0 as text")
    return float(text)


def rational(text: str) -> Fraction:
    """Return the exact value of a perturbation size such as `36/255`, `1`, `0.1` or `1e-3`."""
    if not (_NUMBER.fullmatch(text) or _RATIO.fullmatch(text)):
        raise CertificateError(f"eps {text!r:.60}, expected text like 36/255, 1, 0.1 or 1e-3")
    return Fraction(text)


def take(arrays: dict[str, np.ndarray], name: object, dtypes: str, shape: tuple) -> np.ndarray:
    """Return a stored array of one of these dtypes and of this shape; None admits any size > 0."""
    if type(name) is not str or name not in arrays:
        raise CertificateError(f"array {name!r:.60}, expected a listed one")
    array = arrays[name]
    wanted = tuple(max(s, 1) if w is None else w for s, w in zip(array.shape, shape, strict=False))
    if array.shape != wanted or array.ndim != len(shape) or array.dtype.str not in dtypes.split():
        found = f"{array.dtype.str} {array.shape}"
        raise CertificateError(f"array {name!r} is {found}, expected {dtypes} {shape}")
    return array
