"""What a dataset is: labelled inputs in raw units, hashed.

Raw units are the units of ε: pixels in [0, 1] for pictures. Normalisation belongs to the model.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, replace

import numpy as np

from certlip.errors import InputError

CHUNK = 4096
"""Rows scanned at a time, so that a check or a hash needs no second copy of the data."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled samples of one split, in the numbers that they are stored as.

    Args:
        name: The dataset as the user names it, for example `mnist`.
        split: The split, for example `test`.
        stored: Inputs (n, d), each sample flattened row-major, perhaps mapped from a file: float64 or
            float32 in raw units, or bytes with a divisor.
        label: Classes, int64, (n,), in 0 … classes − 1.
        classes: Number of classes.
        shape: Shape of one sample before flattening, for example (1, 28, 28); its product is d.
        divisor: Given exactly for bytes: x is stored / divisor, correctly rounded.

    Raises:
        InputError: no samples, wrong dtype or shape, an entry that is not finite, or a label out of
            range.
    """

    name: str
    split: str
    stored: np.ndarray
    label: np.ndarray
    classes: int
    shape: tuple[int, ...]
    divisor: int | None = None

    @classmethod
    def from_raw(
        cls,
        name: str,
        split: str,
        raw: np.ndarray,
        label: np.ndarray,
        *,
        classes: int,
        shape: tuple[int, ...],
        divisor: int,
    ) -> Dataset:
        """Make x = raw / divisor from bytes; raw uint8 (n, …), label any integers (n,)."""
        raw = raw.reshape(len(raw), -1)
        return cls(name, split, raw, label.astype(np.int64), classes, shape, divisor)

    @functools.cached_property
    def x(self) -> np.ndarray:
        """Inputs in raw units, float64 (n, d), all of them in memory: `rows` needs less."""
        return self.rows(slice(None))

    @property
    def raw(self) -> np.ndarray | None:
        """The stored bytes, uint8 (n, d), if that is what is stored."""
        return self.stored if self.divisor is not None else None

    @property
    def width(self) -> int:
        """The numbers per sample, d."""
        return self.stored.shape[1]

    def rows(self, which: slice | np.ndarray) -> np.ndarray:
        """Return some inputs in raw units, float64 (m, d)."""
        if self.divisor is None:
            # a mapped member of an archive begins anywhere
            return np.asarray(np.require(self.stored[which], np.float64, ["ALIGNED"]))
        return np.divide(self.stored[which], float(self.divisor), dtype=np.float64)

    def __post_init__(self) -> None:
        where = f"{self.name} ({self.split})"
        self._check_type(where)
        n, d = self.stored.shape
        if n == 0 or d == 0:
            raise InputError(
                f"{where}: x has shape {self.stored.shape}; expected at least one sample"
            )
        if self.label.dtype != np.int64 or self.label.shape != (n,):
            raise InputError(
                f"{where}: label is {self.label.dtype} of shape {self.label.shape}; "
                f"expected int64 ({n},), one per sample"
            )
        if int(np.prod(self.shape, dtype=np.int64)) != d:
            raise InputError(f"{where}: shape {self.shape} does not flatten to d = {d} entries")
        out_of_range = (self.label < 0) | (self.label >= self.classes)
        if out_of_range.any():
            i = int(out_of_range.argmax())
            raise InputError(
                f"{where}: label[{i}] is {self.label[i]}; expected 0 to {self.classes - 1}"
            )
        self._check_finite(where)

    def _check_type(self, where: str) -> None:
        what = f"{self.stored.dtype} of shape {self.stored.shape}"
        if self.divisor is None:
            kind, size = self.stored.dtype.kind, self.stored.dtype.itemsize
            if kind != "f" or size not in (4, 8) or self.stored.ndim != 2:
                raise InputError(
                    f"{where}: x is {what}; expected float64 or float32 (n, d), bytes with a divisor"
                )
        elif self.stored.dtype != np.uint8 or self.stored.ndim != 2 or self.divisor < 1:
            raise InputError(
                f"{where}: raw is {what}, divisor {self.divisor}; "
                "expected uint8 (n, d) and a divisor of 1 or more"
            )

    def _check_finite(self, where: str) -> None:
        if self.divisor is not None:
            return
        for start in range(0, len(self), CHUNK):
            bad = ~np.isfinite(self.stored[start : start + CHUNK])
            if bad.any():
                i, j = np.argwhere(bad)[0]
                value = self.stored[start + i, j]
                raise InputError(f"{where}: x[{start + i}, {j}] is {value}; expected finite values")

    def __len__(self) -> int:
        return len(self.stored)

    def sha256(self) -> str:
        """Return the SHA-256 of x (little-endian float64, C order), then label (int64), as hex."""
        digest = hashlib.sha256()
        for start in range(0, len(self), CHUNK):
            x = self.rows(slice(start, start + CHUNK))
            digest.update(np.ascontiguousarray(x, dtype="<f8").data)
        digest.update(np.ascontiguousarray(self.label, dtype="<i8").data)
        return digest.hexdigest()

    def first(self, limit: int) -> Dataset:
        """Return the first `limit` samples (views, no copy), or all of them if there are fewer.

        Raises:
            InputError: limit is below 1.
        """
        if limit < 1:
            raise InputError(f"limit: {limit}; expected 1 or more samples")
        if limit >= len(self):
            return self
        return replace(self, stored=self.stored[:limit], label=self.label[:limit])

    def limited(self, limit: int) -> Dataset:
        """Return the first `limit` samples, or as many that are evenly spaced where those of each
        class lie together: of such an order the first are of few classes.

        Raises:
            InputError: limit is below 1.
        """
        first = self.first(limit)
        if first is self or not self._lies_by_class():
            return first
        rows = np.arange(limit) * len(self) // limit
        return replace(self, stored=self.stored[rows], label=self.label[rows])

    def _lies_by_class(self) -> bool:
        changes = int(np.count_nonzero(np.diff(self.label)))
        return 0 < changes == len(np.unique(self.label)) - 1 < len(self) - 1
