"""What a dataset is: labelled inputs in raw units, hashed, and the interface of its reader.

Raw units are the units of ε: pixels in [0, 1] for pictures. Normalisation belongs to the model.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from certlip.errors import InputError

CHUNK = 4096
"""Rows compared or scanned at a time, so that a check needs no second copy of the data."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled samples of one split.

    Args:
        name: The dataset as the user names it, for example `mnist`.
        split: The split, for example `test`.
        x: Inputs in raw units, float64, (n, d), each sample flattened row-major.
        label: Classes, int64, (n,), in 0 … classes − 1.
        classes: Number of classes.
        shape: Shape of one sample before flattening, for example (1, 28, 28); its product is d.
        divisor: If given, x == raw / divisor, one correctly rounded division per entry.
        raw: The stored bytes, uint8, (n, d). Given exactly when `divisor` is.

    Raises:
        InputError: no samples, wrong dtype or shape, an entry that is not finite, a label out of
            range, or an x that is not raw / divisor.
    """

    name: str
    split: str
    x: np.ndarray
    label: np.ndarray
    classes: int
    shape: tuple[int, ...]
    divisor: int | None = None
    raw: np.ndarray | None = None

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
        raw = np.ascontiguousarray(raw.reshape(len(raw), -1))
        x = np.divide(raw, float(divisor), dtype=np.float64)
        return cls(name, split, x, label.astype(np.int64), classes, shape, divisor, raw)

    def __post_init__(self) -> None:
        where = f"{self.name} ({self.split})"
        if self.x.dtype != np.float64 or self.x.ndim != 2:
            raise InputError(
                f"{where}: x is {self.x.dtype} of shape {self.x.shape}; expected float64 (n, d)"
            )
        n, d = self.x.shape
        if n == 0 or d == 0:
            raise InputError(f"{where}: x has shape {self.x.shape}; expected at least one sample")
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
        self._check_raw(where)

    def _check_finite(self, where: str) -> None:
        for start in range(0, len(self.x), CHUNK):
            bad = ~np.isfinite(self.x[start : start + CHUNK])
            if bad.any():
                i, j = np.argwhere(bad)[0]
                value = self.x[start + i, j]
                raise InputError(f"{where}: x[{start + i}, {j}] is {value}; expected finite values")

    def _check_raw(self, where: str) -> None:
        if (self.raw is None) != (self.divisor is None):
            raise InputError(f"{where}: raw and divisor come together; got only one of them")
        if self.raw is None or self.divisor is None:
            return
        if self.raw.dtype != np.uint8 or self.raw.shape != self.x.shape or self.divisor < 1:
            raise InputError(
                f"{where}: raw is {self.raw.dtype} of shape {self.raw.shape}, divisor "
                f"{self.divisor}; expected uint8 of shape {self.x.shape} and a divisor of 1 or more"
            )
        for start in range(0, len(self.x), CHUNK):
            rows = slice(start, start + CHUNK)
            quotient = np.divide(self.raw[rows], float(self.divisor), dtype=np.float64)
            if not np.array_equal(self.x[rows], quotient):
                raise InputError(f"{where}: x differs from raw / {self.divisor}; expected equality")

    def __len__(self) -> int:
        return len(self.x)

    def sha256(self) -> str:
        """Return the SHA-256 of x (little-endian float64, C order), then label (int64), as hex."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x, dtype="<f8").data)
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
        raw = None if self.raw is None else self.raw[:limit]
        return replace(self, x=self.x[:limit], label=self.label[:limit], raw=raw)


class DatasetReader(ABC):
    """Reads one kind of dataset. A reader without state but for the text after `name:`."""

    name: ClassVar[str]
    """Name on the command line."""
    splits: ClassVar[tuple[str, ...]]
    """The splits that `read` accepts."""
    files: ClassVar[str]
    """Which files are expected where, in words."""
    needs_dir: ClassVar[bool] = False
    """Whether `read` needs a data folder."""
    argument: ClassVar[str | None] = None
    """What follows `name:` on the command line, for example `PATH`; None if nothing does."""

    def __init__(self, text: str | None = None) -> None:
        """Take the text after `name:`.

        Raises:
            InputError: the text is missing where `argument` asks for one, or given where not.
        """
        if self.argument is None and text is not None:
            raise InputError(f"dataset '{self.name}:{text}': expected '{self.name}' alone")
        if self.argument is not None and not text:
            raise InputError(f"dataset '{self.name}': expected '{self.name}:{self.argument}'")
        self.text = text or ""

    @abstractmethod
    def read(self, split: str, data_dir: Path | None) -> Dataset:
        """Return the samples of `split`, in a fixed order.

        Law: two calls with the same files return the same `sha256()`; no network, no cache.

        Raises:
            InputError: unknown split, no folder, or files that are missing or malformed.
        """

    def check_split(self, split: str) -> None:
        """Refuse a split that is not in `splits`."""
        if split not in self.splits:
            raise InputError(f"split '{split}' of {self.name}: expected {', '.join(self.splits)}")

    def folder(self, data_dir: Path | None) -> Path:
        """Return `data_dir` if it is a folder, and say otherwise which files belong there."""
        if data_dir is None:
            raise InputError(
                f"dataset '{self.name}' needs files: {self.files}. "
                "Name their folder with --data-dir DIR or CERTLIP_DATA_DIR"
            )
        if not data_dir.is_dir():
            raise InputError(
                f"--data-dir {data_dir}: not a folder; expected the folder with {self.files}"
            )
        return data_dir
