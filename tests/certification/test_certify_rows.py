"""Rows, their way back to arrays, their counts, and states on disk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlip.certification import (
    Radii,
    StatesFiles,
    Status,
    Tally,
    is_row,
    parse_eps,
    radii_of_rows,
    sample_rows,
)
from certlip.errors import InputError

POSITIVE = st.floats(0.0, 1e300, exclude_min=True, width=64)
SAMPLE = st.tuples(st.integers(0, 9), st.integers(-1, 9), st.sampled_from(list(Status)), POSITIVE)


def radii_of(samples) -> Radii:
    """Radii as `certify` may give them: a status with a radius says that the class is right."""
    n = len(samples)
    label, predicted = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    status, radius = np.empty(n, dtype=object), np.zeros(n)
    for i, (a, b, word, r) in enumerate(samples):
        right = word in (Status.CERTIFIED, Status.FALSIFIED)
        label[i], predicted[i] = a, a if right else b
        status[i], radius[i] = word, r if right else 0.0
    residual = np.where(label > 4, np.inf, 0.1 * label)
    return Radii(label, predicted, status, 2.0 * radius, radius, residual, {})


@given(samples=st.lists(SAMPLE, min_size=1, max_size=40), first=st.integers(0, 10**9))
def test_rows_lead_back_to_the_same_arrays(samples, first):
    radii = radii_of(samples)
    rows = sample_rows(radii, first)
    assert all(is_row(row, first + i, radii.label[i]) for i, row in enumerate(rows))
    back = radii_of_rows(iter(rows), {3: radii.margin_lower[:, None]})
    for name in ("label", "predicted", "status", "margin_lower", "radius_lower"):
        assert np.array_equal(getattr(back, name), getattr(radii, name)), name
        assert getattr(back, name).dtype == getattr(radii, name).dtype
    finite = np.isfinite(radii.residual)
    assert np.array_equal(back.residual[finite], radii.residual[finite])
    assert np.isnan(back.residual[~finite]).all()


@given(samples=st.lists(SAMPLE, min_size=1, max_size=40))
def test_the_tally_counts_what_the_arrays_say(samples):
    radii, eps = radii_of(samples), parse_eps("36/255,1e-300,1e100")
    counted = Tally.of(sample_rows(radii), [*eps, *parse_eps("36/255")])  # also of a gate
    assert counted.n == len(radii)
    assert counted.correct == radii.natural_correct()
    for e in eps:
        assert counted.certified[e.text] == radii.certified_at(e).sum()
    for status in Status:
        assert counted.counts[status] == (radii.status == status).sum()
    words = radii.status.tolist()
    assert counted.with_radius == sum(w in ("certified", "falsified") for w in words)
    assert counted.undecided == sum(w in ("unknown", "error") for w in words)


def test_the_radius_at_the_rounded_up_eps_counts():
    eps = parse_eps("36/255")
    below = np.nextafter(eps[0].upper, 0.0)
    samples = [(0, 0, Status.CERTIFIED, r) for r in (below, eps[0].upper)]
    assert Tally.of(sample_rows(radii_of(samples)), eps).certified["36/255"] == 1


GOOD = {
    **{"index": 7, "label": 2, "predicted": 2, "status": "certified"},
    **{"margin_lower": "0.5", "radius_lower": "0.25", "residual": 0.0},
}
NO_ROWS = {
    "another index": {"index": 8},
    "an index that equals": {"index": 7.0},
    "a truth value": {"index": True},
    "another label": {"label": 1},
    "a label that equals": {"label": 2.0},
    "another class, certified": {"predicted": 1},
    "no class, certified": {"predicted": None},
    "a class that equals": {"predicted": 2.0},
    "a class as text": {"predicted": "2"},
    "no status": {"status": "proven"},
    "a radius without certificate": {"status": "unknown"},
    "no radius": {"radius_lower": "0.0"},
    "a negative radius": {"radius_lower": "-0.25"},
    "a radius as a number": {"radius_lower": 0.25},
    "a radius written otherwise": {"radius_lower": "0.250"},
    "a radius that is none": {"radius_lower": "nan"},
    "an infinite radius": {"radius_lower": "inf"},
    "a negative margin": {"margin_lower": "-0.5"},
    "words": {"margin_lower": "large"},
    "a negative residual": {"residual": -1.0},
    "a residual as text": {"residual": "0.0"},
    "one field more": {"more": 1},
}


@pytest.mark.parametrize("name", NO_ROWS)
def test_what_is_no_row_of_a_sample(name):
    assert is_row(GOOD, 7, 2)
    assert not is_row({**GOOD, **NO_ROWS[name]}, 7, 2)


@pytest.mark.parametrize("name", GOOD)
def test_a_row_has_every_field(name):
    assert not is_row({k: v for k, v in GOOD.items() if k != name}, 7, 2)


@pytest.mark.parametrize("status", ["falsified", "certified"])
def test_a_broken_radius_is_still_a_row(status):
    assert is_row({**GOOD, "status": status}, 7, 2)
    assert is_row({**GOOD, "status": "misclassified", "predicted": 1, "radius_lower": "0.0"}, 7, 2)


def states(first, n):
    rng = np.random.default_rng(first)
    return {1: rng.standard_normal((n, 3)), 4: rng.standard_normal((n, 5))}


@pytest.mark.parametrize("named", [True, False])
def test_states_come_back_bit_for_bit(tmp_path, named):
    files = StatesFiles([1, 4], tmp_path if named else None)
    parts = [states(i, n) for i, n in enumerate((4, 4, 2))]
    parts[1][1][2, 1] = np.nan
    for part in parts:
        files.append(part)
    assert files.wanted
    for k, z in files.read().items():
        assert np.array_equal(z, np.concatenate([p[k] for p in parts]), equal_nan=True)
    assert len(list(tmp_path.iterdir())) == (2 if named else 0)
    files.remove()
    assert not list(tmp_path.iterdir())


def test_states_that_were_cut_anywhere_are_counted_and_written_again(tmp_path):
    def whole():
        files = StatesFiles([1, 4], tmp_path)
        for i in range(2):
            files.append(states(i, 4))
        return files

    whole()
    content = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for name, width in (("states1.f64", 3), ("states4.f64", 5)):
        for size in range(len(content[name])):
            for other, text in content.items():
                (tmp_path / other).write_bytes(text[:size] if other == name else text)
            files = StatesFiles([1, 4], tmp_path)
            rows = files.whole(8)
            assert rows == max(0, size // 8 - 1) // width
            assert files.whole(3) == min(3, rows)
            files.cut(rows - rows % 4)
            for i in range(rows // 4, 2):
                files.append(states(i, 4))
            assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == content


def test_a_file_of_states_that_is_missing_or_foreign_counts_for_nothing(tmp_path):
    assert StatesFiles([1], tmp_path).whole(5) == 0
    (tmp_path / "states1.f64").write_bytes(np.array([-3, 0, 0], dtype="<i8").tobytes())
    assert StatesFiles([1], tmp_path).whole(5) == 0
    assert StatesFiles([], tmp_path).whole(5) == 5
    assert not StatesFiles([], tmp_path).wanted


def test_states_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        StatesFiles([1], tmp_path / "file")
