"""`npz:PATH`: a dataset of the user's own, as arrays in a NumPy .npz file.

`x_<split>` and `y_<split>` are the samples of a split; where the file has neither, `x` and `y`
stand for every split. x is uint8 (divided by 255) or float32/float64 already in [0, 1], (n, …);
y is integers, (n,). Other arrays are left alone. Nothing is unpickled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from certlip.data.base import DatasetReader
from certlip.data.dataset import CHUNK, Dataset
from certlip.data.npz_archive import NpzArchive
from certlip.errors import InputError

MAX_LABEL = 2**31 - 1


class Npz(DatasetReader):
    """One .npz file. `classes` is the largest label of the file, over all its splits, plus one."""

    name = "npz"
    argument = "PATH"
    splits = ("train", "validation", "test", "all")
    files = (
        "PATH is a .npz file with x (uint8, or float in [0, 1]; one sample per row) and y (integer "
        "labels), or x_train, y_train, x_test, y_test, …"
    )

    def read(self, split: str, data_dir: Path | None) -> Dataset:
        del data_dir  # the name carries the path
        path = Path(self.text)
        with NpzArchive(path) as archive:
            x_name, y_name = _members(archive, split, self.splits)
            labels = {
                name: _labels(path, name, archive.read(name))
                for name in archive.names
                if name == "y" or name.startswith("y_")
            }
            x, label = archive.read(x_name), labels[y_name]
        if x.ndim < 2 or x.size == 0:
            raise InputError(
                f"{path}: {x_name} has shape {x.shape}; expected (n, …) with at least one sample"
            )
        if len(label) != len(x):
            raise InputError(
                f"{path}: {x_name} has {len(x)} samples and {y_name} {len(label)} labels; "
                "expected as many"
            )
        name, shape = f"{self.name}:{self.text}", x.shape[1:]
        classes = 1 + max(int(values.max(initial=0)) for values in labels.values())
        if x.dtype == np.uint8:
            return Dataset.from_raw(
                name, split, x, label, classes=classes, shape=shape, divisor=255
            )
        x = x.reshape(len(x), -1)
        _check_pixels(path, x_name, x)
        return Dataset(name, split, x, label, classes, shape)


def _members(archive: NpzArchive, split: str, splits: tuple[str, ...]) -> tuple[str, str]:
    """Return the names of the two arrays that hold `split`."""
    own = (f"x_{split}", f"y_{split}")
    if any(name in archive.names for name in own):
        pair = own
    elif split in splits:
        pair = ("x", "y")
    else:
        stored = sorted(name[2:] for name in archive.names if name.startswith("x_"))
        known = ", ".join(repr(name) for name in dict.fromkeys((*splits, *stored)))
        raise InputError(f"{archive.path}: split '{split}'; expected {known}")
    for name in pair:
        if name not in archive.names:
            raise InputError(
                f"{archive.path}: no array '{name}' for split '{split}'; "
                f"it has {', '.join(map(repr, archive.names)) or 'no arrays'}"
            )
    return pair


def _labels(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Return integer labels as int64 (n,), refusing what is not a class number."""
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InputError(
            f"{path}: {name} is {values.dtype} of shape {values.shape}; expected integers (n,)"
        )
    wrong = (values < 0) | (values > MAX_LABEL)
    if wrong.any():
        i = int(wrong.argmax())
        raise InputError(f"{path}: {name}[{i}] is {values[i]}; expected a label of 0 or more")
    return values.astype(np.int64)


def _check_pixels(path: Path, name: str, values: np.ndarray) -> None:
    """Refuse numbers (n, d) of other types than float32 and float64, or outside [0, 1]."""
    if values.dtype.kind != "f" or values.dtype.itemsize not in (4, 8):
        raise InputError(f"{path}: {name} is {values.dtype}; expected uint8, float32 or float64")
    for start in range(0, len(values), CHUNK):
        rows = values[start : start + CHUNK]
        wrong = ~((rows >= 0.0) & (rows <= 1.0))  # also true for NaN
        if wrong.any():
            i, j = np.argwhere(wrong)[0]
            raise InputError(
                f"{path}: {name}[{start + i}], entry {j}, is {rows[i, j]}; "
                "raw input units are pixels in [0, 1]"
            )
