"""Numbers in order without memory for them, and a page whose memory does not grow with its rows."""

from __future__ import annotations

import gc
import statistics
import tempfile
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from documents import make_document, make_samples
from hypothesis import given
from hypothesis import strategies as st

from certlip.errors import InputError
from certlip.report import get_format
from certlip.report.base import Sample
from certlip.report.numbers import lower, percent
from certlip.report.ordered import median, ordered, ordered_pairs
from certlip.report.view import build

numbers = st.floats(0, allow_infinity=False)


@given(st.lists(numbers, max_size=40))
def test_as_python_sorts(values):
    found = ordered(values)
    assert list(found) == sorted(values)
    assert bool(found) == bool(values)
    assert all(type(value) is float for value in found)
    if values and sum(values) < float("inf"):
        assert median(found) == statistics.median(values)


@given(st.lists(st.tuples(st.integers(0, 9), numbers), max_size=40))
def test_pairs_as_python_sorts_them(pairs):
    assert list(ordered_pairs(pairs)) == [second for _, second in sorted(pairs)]


def test_many_chunks():
    values = [float(i * 7919 % 30_011) for i in range(30_011)]
    assert list(ordered(values)) == sorted(values)


def test_no_room(monkeypatch):
    def full():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        ordered([1.0])


@given(seed=st.integers(0, 99), n=st.integers(1, 60), zeros=st.booleans())
def test_class_table_of_small_groups(seed, n, zeros):
    samples = make_samples(n, seed, 0.1)
    for row in (
        samples[::3] if zeros else []
    ):  # a radius of 0 is certified at ε = 0 and nowhere else
        row["radius_lower"] = "0.0"
    for row in samples:
        row["label"] %= 3
    document = make_document(samples)
    document["certified_accuracy"]["0"] = 0.5
    for entry in build(document, samples, ())["classes"]:
        rows = [row for row in samples if row["label"] == entry["label"]]
        radii = [float(r["radius_lower"]) for r in rows if r["status"] == "certified"]
        assert entry["n"] == len(rows)
        assert entry["certified"][0] == percent(len(radii) / len(rows), 1)
        every = radii + [0.0] * (len(rows) - len(radii))
        assert entry["median"] == lower(statistics.median(every))


@pytest.mark.parametrize("label", ["3", None, 1.5])
def test_a_label_that_is_no_class(label):
    samples = make_samples(5, 0, 0.1)
    samples[3]["label"] = label
    with pytest.raises(InputError, match="sample 3: label is"):
        build(make_document(samples[:3]), samples, ())


class Repeated(Sequence[Sample]):
    """The same rows again and again, which take no memory."""

    def __init__(self, rows: list[Sample], times: int) -> None:
        self.rows, self.times = rows, times

    def __len__(self) -> int:
        return len(self.rows) * self.times

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index % len(self.rows)]

    def __iter__(self) -> Iterator[Sample]:
        return (row for _ in range(self.times) for row in self.rows)


def test_memory_of_a_page_does_not_grow_with_the_rows():
    """Ten times the rows: the peak stays where it was."""
    part = make_samples(2000, 1, 0.1)
    document, peaks = make_document(part), {10: [], 100: []}
    get_format("html").render(document, part)  # fills caches
    # what a thread of an earlier test allocates meanwhile is counted too: the least of two
    for times in (10, 100, 10, 100):
        gc.collect()
        tracemalloc.start()
        try:
            page = get_format("html").render(document, Repeated(part, times))
            peaks[times].append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert f"{2000 * times:,}" in page
    assert min(peaks[100]) < 1.1 * min(peaks[10]), peaks
