"""Strict JSON: a number that JSON does not have becomes null, with the reason beside it."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from certlip.report.base import Document, ReportFormat, Run, Sample


class JsonFormat(ReportFormat):
    """The document itself, with sorted keys. The samples have a format of their own: jsonl."""

    name = "json"
    suffix = ".json"

    def render(
        self, document: Document, samples: Sequence[Sample], compare: Sequence[Run] = ()
    ) -> str:
        del samples, compare
        return dumps(document, indent=2) + "\n"


class JsonLinesFormat(ReportFormat):
    """One sample per line: results.jsonl."""

    name = "jsonl"
    suffix = ".jsonl"

    def render(
        self, document: Document, samples: Sequence[Sample], compare: Sequence[Run] = ()
    ) -> str:
        del document, compare
        return "".join(dumps(row) + "\n" for row in samples)


def dumps(document: Mapping[str, Any], indent: int | None = None) -> str:
    """Return strict JSON with sorted keys; floats are written so that they read back exactly."""
    return json.dumps(
        strict(document), allow_nan=False, sort_keys=True, indent=indent, ensure_ascii=False
    )


def strict(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document in plain JSON types.

    NaN and the infinities become null, and the key `<key>_reason` is put beside them unless the
    document already has one. NumPy numbers and arrays become plain ones.

    Raises:
        TypeError: a key that is not a string, or a value that JSON has no form for.
    """
    result: dict[str, Any] = {}
    for key, value in document.items():
        if not isinstance(key, str):
            raise TypeError(f"key {key!r} is {type(key).__name__}; expected a string")
        result[key], reason = _plain(value)
        if reason and f"{key}_reason" not in document:
            result[f"{key}_reason"] = reason
    return result


def _plain(value: Any) -> tuple[Any, str]:
    """Return a value as plain JSON, and why it (or an entry of it) became null."""
    if hasattr(value, "tolist"):  # NumPy numbers and arrays
        value = value.tolist()
    if value is None or isinstance(value, (str, bool)):
        return value, ""
    if isinstance(value, numbers.Integral):
        return int(value), ""
    if isinstance(value, float):
        reason = _reason(value)
        return (None if reason else value), reason
    if isinstance(value, Mapping):
        return strict(value), ""
    if isinstance(value, (list, tuple)):
        entries = [_plain(entry) for entry in value]
        reasons = [f"entry {i}: {reason}" for i, (_, reason) in enumerate(entries) if reason]
        return [entry for entry, _ in entries], "; ".join(reasons)
    raise TypeError(f"{value!r} is {type(value).__name__}; expected a JSON value")


def _reason(value: float) -> str:
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "positive infinity" if value > 0 else "negative infinity"
    return ""
