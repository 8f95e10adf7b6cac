"""One plain row per sample, as `results.jsonl` holds them, and the way back to arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from certlip.certification.radii import Radii
from certlip.certification.status import Status

#: Statuses of samples with a radius: an attack may have broken it afterwards.
WITH_RADIUS = (Status.CERTIFIED, Status.FALSIFIED)
_NAMES = {"index", "label", "predicted", "status", "margin_lower", "radius_lower", "residual"}
_LINF = {"radius_lower_linf", "method_linf"}
#: What an ℓ∞ radius comes from.
METHODS: tuple[str, ...] = ("interval", "dual", "l2")


def sample_rows(radii: Radii, first: int = 0) -> list[dict[str, Any]]:
    """The rows of samples first, first + 1, …, in the order of the data; null for no number."""
    rows = [
        {
            "index": first + i,
            "label": int(radii.label[i]),
            "predicted": int(radii.predicted[i]) if radii.predicted[i] >= 0 else None,
            "status": str(radii.status[i]),
            "margin_lower": repr(float(radii.margin_lower[i])),
            "radius_lower": repr(float(radii.radius_lower[i])),
            "residual": float(radii.residual[i]) if np.isfinite(radii.residual[i]) else None,
        }
        for i in range(len(radii))
    ]
    if radii.radius_linf is not None and radii.method_linf is not None:
        for row, radius, method in zip(rows, radii.radius_linf, radii.method_linf, strict=True):
            row |= {"radius_lower_linf": repr(float(radius)), "method_linf": method}
    return rows


def is_row(row: Mapping[str, Any], index: int, label: int) -> bool:
    """Whether `sample_rows` may have written this for the sample at `index`, of class `label`.

    It says nothing about the numbers themselves: only certifying again would.
    """
    if set(row) - _LINF != _NAMES or row["status"] not in [s.value for s in Status]:
        return False
    if set(row) != _NAMES and not _is_linf(row):
        return False
    predicted, residual = row["predicted"], row["residual"]
    numbers = (predicted is None or _is(predicted, int)) and (
        residual is None or (_is(residual, float) and residual >= 0.0)
    )
    same = _is(row["index"], int) and _is(row["label"], int)
    if not numbers or not same or (row["index"], row["label"]) != (index, label):
        return False
    if not _is_lower(row["margin_lower"]) or not _is_lower(row["radius_lower"]):
        return False
    if row["status"] in WITH_RADIUS:
        return predicted == label and 0.0 < float(row["radius_lower"]) < np.inf
    return row["radius_lower"] == "0.0"


def radii_of_rows(rows: Iterable[Mapping[str, Any]], states: Mapping[int, np.ndarray]) -> Radii:
    """The arrays again: memory grows with the samples. An infinite residual comes back as NaN."""
    columns = [
        (
            row["label"],
            -1 if row["predicted"] is None else row["predicted"],
            Status(row["status"]),
            float(row["margin_lower"]),
            float(row["radius_lower"]),
            np.nan if row["residual"] is None else row["residual"],
        )
        for row in rows
    ]
    label, predicted, status, margin, radius, residual = zip(*columns, strict=True)
    words = np.empty(len(status), dtype=object)
    words[:] = status
    return Radii(
        label=np.array(label, dtype=np.int64),
        predicted=np.array(predicted, dtype=np.int64),
        status=words,
        margin_lower=np.array(margin, dtype=np.float64),
        radius_lower=np.array(radius, dtype=np.float64),
        residual=np.array(residual, dtype=np.float64),
        states=dict(states),
    )


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_linf(row: Mapping[str, Any]) -> bool:
    """A radius of a sample that has one in another norm as well, and the method that gave it."""
    if not set(row) >= _LINF or not _is_lower(row["radius_lower_linf"]):
        return False
    if row["radius_lower_linf"] == "0.0":
        return row["method_linf"] is None
    finite = float(row["radius_lower_linf"]) < np.inf
    return finite and row["method_linf"] in METHODS and row["status"] in WITH_RADIUS


def _is_lower(text: Any) -> bool:
    """A number, 0 or more, written as `repr` writes it."""
    try:
        return isinstance(text, str) and repr(float(text)) == text and float(text) >= 0.0
    except ValueError:
        return False
