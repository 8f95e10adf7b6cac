"""The embedded digits: a fixed, disjoint and complete split."""

from __future__ import annotations

import numpy as np

from certlip.data import load
from certlip.data.digits import split_mask


def test_counts_and_shape() -> None:
    counts = {s: len(load("digits", split=s)) for s in ("train", "validation", "test", "all")}
    assert counts == {"train": 1257, "validation": 180, "test": 360, "all": 1797}
    dataset = load("digits", split="all")
    assert dataset.shape == (1, 8, 8)
    assert dataset.classes == 10
    assert dataset.divisor == 16
    assert dataset.raw is not None
    assert dataset.raw.max() == 16
    assert dataset.label[:10].tolist() == list(range(10))


def test_split_is_disjoint_and_complete() -> None:
    masks = np.array([split_mask(1797, s) for s in ("train", "validation", "test")])
    assert (masks.sum(axis=0) == 1).all()
    assert split_mask(12, "test").nonzero()[0].tolist() == [0, 5, 10]
    assert split_mask(12, "validation").nonzero()[0].tolist() == [1, 11]


def test_splits_are_rows_of_all() -> None:
    everything = load("digits", split="all")
    for split in ("train", "validation", "test"):
        part = load("digits", split=split)
        rows = split_mask(1797, split)
        assert np.array_equal(part.x, everything.x[rows])
        assert np.array_equal(part.label, everything.label[rows])


def test_hash_is_the_published_one() -> None:
    """A change here breaks every certificate that names this split."""
    assert load("digits").sha256() == (
        "e17fba985be107d531625781bb62c059109d0ab2e0fee16e62233de1c94279b8"
    )
