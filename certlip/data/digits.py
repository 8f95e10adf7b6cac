"""Handwritten digits that scikit-learn carries: 1,797 real 8 × 8 pictures, no network, no files.

UCI ML "Optical Recognition of Handwritten Digits" (its test part), grey values 0 … 16.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from certlip.data.base import DatasetReader
from certlip.data.dataset import Dataset

DIVISOR = 16
"""The brightest grey value; raw / 16 is exact in binary."""


class Digits(DatasetReader):
    """Fixed split by the index i in scikit-learn's order.

    test: i % 5 == 0 (360 samples) · validation: i % 10 == 1 (180) · train: the rest (1,257).
    """

    name = "digits"
    splits = ("train", "validation", "test", "all")
    files = "none (the pictures come with scikit-learn)"

    def read(self, split: str, data_dir: Path | None) -> Dataset:
        del data_dir  # the pictures come with scikit-learn
        self.check_split(split)
        from sklearn.datasets import load_digits

        data, target = load_digits(return_X_y=True)
        keep = split_mask(len(target), split)
        raw = data.astype(np.uint8)[keep]
        return Dataset.from_raw(
            self.name, split, raw, target[keep], classes=10, shape=(1, 8, 8), divisor=DIVISOR
        )


def split_mask(n: int, split: str) -> np.ndarray:
    """Return which of the indices 0 … n − 1 belong to `split`, bool (n,)."""
    i = np.arange(n)
    test, validation = i % 5 == 0, i % 10 == 1
    return {
        "test": test,
        "validation": validation,
        "train": ~(test | validation),
        "all": np.ones(n, dtype=bool),
    }[split]
