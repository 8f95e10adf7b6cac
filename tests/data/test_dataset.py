"""The Dataset type: its hash and what it refuses."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlip.data import Dataset
from certlip.errors import InputError


def fields(**changes: Any) -> dict[str, Any]:
    raw = np.array([[0, 51], [255, 102], [1, 254]], dtype=np.uint8)
    base = {
        "name": "toy",
        "split": "test",
        "stored": raw,
        "label": np.array([0, 1, 1]),
        "classes": 2,
        "shape": (1, 2),
        "divisor": 255,
    }
    return base | changes


def floats(shape: Any, dtype: Any = np.float64) -> dict[str, Any]:
    return {"stored": np.zeros(shape, dtype), "divisor": None}


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", ">f4"])
def test_rows_are_the_stored_numbers_as_float64(dtype: str) -> None:
    stored = np.random.default_rng(2).random((9000, 2)).astype(dtype)
    label = np.zeros(9000, np.int64)
    dataset = Dataset("toy", "test", stored, label, 1, (2,))
    exact = stored.astype("<f8")
    for which in (slice(3, 5000), np.array([8999, 0])):
        assert dataset.rows(which).dtype == np.float64
        assert np.array_equal(dataset.rows(which), exact[which])
    assert dataset.x is dataset.x
    expected = hashlib.sha256(exact.tobytes() + label.tobytes())
    assert dataset.sha256() == expected.hexdigest()


def test_hash_is_over_the_documented_bytes() -> None:
    dataset = Dataset(**fields())
    values = [0 / 255, 51 / 255, 255 / 255, 102 / 255, 1 / 255, 254 / 255]
    expected = struct.pack("<6d", *values) + struct.pack("<3q", 0, 1, 1)
    assert dataset.sha256() == hashlib.sha256(expected).hexdigest()


def test_hash_does_not_depend_on_memory_layout() -> None:
    dataset = Dataset(**fields())
    other = Dataset(**fields(stored=np.asfortranarray(dataset.stored)))
    assert other.sha256() == dataset.sha256()


def test_first_is_a_view_of_the_first_rows() -> None:
    dataset = Dataset(**fields())
    first = dataset.first(2)
    assert len(first) == 2
    assert first.raw is not None
    assert first.raw.shape == (2, 2)
    assert np.shares_memory(first.raw, dataset.stored)
    assert np.array_equal(first.x, dataset.x[:2])
    assert dataset.first(3) is dataset


def by_class(order: list[int]) -> Dataset:
    """Thirty samples of each class, class after class, each with its own number in x."""
    label = np.repeat(order, 30)
    x = np.arange(len(label), dtype=np.float64)[:, None]
    return Dataset("d", "test", x, label, classes=max(order) + 1, shape=(1,))


@given(limit=st.integers(1, 100), order=st.permutations([0, 1, 3]))
def test_a_limit_is_spread_over_samples_that_lie_by_class(limit: int, order: list[int]) -> None:
    dataset = by_class(order)
    some = dataset.limited(limit)
    assert len(some) == min(limit, 90)
    counts = np.bincount(some.label, minlength=4)[[0, 1, 3]]
    assert counts.max() - counts.min() <= 1
    place = some.x[:, 0].astype(int)  # still each sample with its own label, in the same order
    assert np.array_equal(dataset.label[place], some.label)
    assert np.all(np.diff(place) > 0)
    assert dataset.limited(limit).sha256() == some.sha256()


@pytest.mark.parametrize(
    "label", [[0] * 9, [0, 1, 0, 1, 2, 2, 1, 0, 0], [0, 0, 0, 1, 1, 1, 2, 2, 0]]
)
def test_of_any_other_order_a_limit_takes_the_first(label: list[int]) -> None:
    x = np.arange(9.0)[:, None]
    dataset = Dataset("d", "test", x, np.array(label), classes=3, shape=(1,))
    assert np.array_equal(dataset.limited(5).x, dataset.x[:5])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"divisor": None}, "x is uint8"),
        (floats((3, 2), np.float16), "x is float16"),
        (floats((3, 2), np.longdouble), "x is (longdouble|float128)"),
        (floats((3, 2), np.int64), "x is int64"),
        (floats(3), r"expected float64 or float32 \(n, d\)"),
        (floats((0, 2)), "at least one sample"),
        ({"label": np.array([0, 1])}, r"expected int64 \(3,\)"),
        ({"label": np.array([0, 1, 1], np.int32)}, "label is int32"),
        ({"label": np.array([0, 2, 1])}, r"label\[1\] is 2; expected 0 to 1"),
        ({"label": np.array([0, 1, -1])}, r"label\[2\] is -1"),
        ({"shape": (3,)}, r"shape \(3,\) does not flatten to d = 2"),
        ({"stored": np.array([[0, 1], [np.nan, 0], [0, 0]]), "divisor": None}, r"x\[1, 0\] is nan"),
        ({"divisor": 0}, "a divisor of 1 or more"),
        ({"stored": np.zeros((3, 2), np.int64)}, "raw is int64"),
        ({"stored": np.zeros(3, np.uint8)}, r"expected uint8 \(n, d\)"),
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
