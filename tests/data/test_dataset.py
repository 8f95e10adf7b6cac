"""The Dataset type: its hash and what it refuses."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import numpy as np
import pytest

from certlip.data import Dataset
from certlip.errors import InputError


def fields(**changes: Any) -> dict[str, Any]:
    raw = np.array([[0, 51], [255, 102], [1, 254]], dtype=np.uint8)
    base = {
        "name": "toy",
        "split": "test",
        "x": raw / 255,
        "label": np.array([0, 1, 1]),
        "classes": 2,
        "shape": (1, 2),
        "divisor": 255,
        "raw": raw,
    }
    return base | changes


def test_hash_is_over_the_documented_bytes() -> None:
    dataset = Dataset(**fields())
    values = [0 / 255, 51 / 255, 255 / 255, 102 / 255, 1 / 255, 254 / 255]
    expected = struct.pack("<6d", *values) + struct.pack("<3q", 0, 1, 1)
    assert dataset.sha256() == hashlib.sha256(expected).hexdigest()


def test_hash_does_not_depend_on_memory_layout() -> None:
    dataset = Dataset(**fields())
    other = Dataset(**fields(x=np.asfortranarray(dataset.x)))
    assert other.sha256() == dataset.sha256()


def test_first_is_a_view_of_the_first_rows() -> None:
    dataset = Dataset(**fields())
    first = dataset.first(2)
    assert len(first) == 2
    assert first.raw is not None
    assert first.raw.shape == (2, 2)
    assert first.x.base is not None
    assert dataset.first(3) is dataset


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((3, 2), np.float32)}, "x is float32"),
        ({"x": np.zeros(3)}, r"expected float64 \(n, d\)"),
        ({"x": np.zeros((0, 2))}, "at least one sample"),
        ({"label": np.array([0, 1])}, r"expected int64 \(3,\)"),
        ({"label": np.array([0, 1, 1], np.int32)}, "label is int32"),
        ({"label": np.array([0, 2, 1])}, r"label\[1\] is 2; expected 0 to 1"),
        ({"label": np.array([0, 1, -1])}, r"label\[2\] is -1"),
        ({"shape": (3,)}, r"shape \(3,\) does not flatten to d = 2"),
        ({"x": np.array([[0, 1], [np.nan, 0], [0, 0]])}, r"x\[1, 0\] is nan"),
        ({"raw": None}, "raw and divisor come together"),
        ({"divisor": 254}, "differs from raw / 254"),
        ({"divisor": 0}, "a divisor of 1 or more"),
        ({"raw": np.zeros((3, 2), np.int64)}, "raw is int64"),
        ({"x": np.zeros((3, 2))}, "differs from raw / 255"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Dataset(**fields(**changes))


def test_every_quotient_is_correctly_rounded() -> None:
    from fractions import Fraction

    raw = np.arange(256, dtype=np.uint8).reshape(16, 16)
    dataset = Dataset.from_raw(
        "all", "test", raw, np.zeros(16, int), classes=1, shape=(16,), divisor=255
    )
    for byte, value in zip(raw.ravel().tolist(), dataset.x.ravel().tolist(), strict=True):
        error = abs(Fraction(value) - Fraction(byte, 255))
        for neighbour in (np.nextafter(value, -1.0), np.nextafter(value, 2.0)):
            assert error <= abs(Fraction(float(neighbour)) - Fraction(byte, 255))
