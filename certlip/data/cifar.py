"""CIFAR-10 and CIFAR-100: 60,000 colour pictures, 32 × 32, in the files that their authors publish.

The python version (pickled batches) and the binary version, each as the archive or as its folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from certlip.data.base import DatasetReader
from certlip.data.cifar_pickle import read_pickle
from certlip.data.dataset import Dataset
from certlip.data.file_tree import FileTree, FolderTree
from certlip.data.tar_tree import TarTree
from certlip.errors import InputError

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
MAX_FILE = 200 * 2**20
"""The largest of the files, the training part of CIFAR-100, has 155 MB."""
PYTHON, BINARY = "", ".bin"
ROWS = {
    "train": ("train", slice(0, 45_000)),
    "validation": ("train", slice(45_000, 50_000)),
    "train-full": ("train", slice(0, 50_000)),
    "test": ("test", slice(0, 10_000)),
}
"""For each split, the part it lies in and its rows there."""
COUNT = {"train": 50_000, "test": 10_000}


class Cifar10(DatasetReader):
    """Splits: train (the first 45,000), validation (the last 5,000), train-full, test (10,000)."""

    name = "cifar10"
    splits = tuple(ROWS)
    files = (
        "cifar-10-python.tar.gz, cifar-10-binary.tar.gz, or the folder cifar-10-batches-py or "
        "cifar-10-batches-bin that is in it, in DIR or DIR/cifar10 (from Alex Krizhevsky's page "
        "'The CIFAR-10 dataset', University of Toronto)"
    )
    needs_dir = True
    classes: ClassVar[int] = 10
    places: ClassVar[dict[str, tuple[str, str]]] = {
        PYTHON: ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
        BINARY: ("cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
    }
    batches: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": tuple(f"data_batch_{i}" for i in range(1, 6)),
        "test": ("test_batch",),
    }
    """The files of each part, without the ending of their version."""
    label_key: ClassVar[bytes] = b"labels"
    label_bytes: ClassVar[int] = 1
    """Bytes before the pixels of a sample in the binary version; the last is the label."""

    def read(self, split: str, data_dir: Path | None) -> Dataset:
        self.check_split(split)
        part, kept = ROWS[split]
        batches = self.batches[part]
        tree, prefix, version = self._find(self.folder(data_dir), batches[0])
        size = COUNT[part] // len(batches)
        raw = np.empty((COUNT[part], PIXELS), np.uint8)
        label = np.empty(COUNT[part], np.int64)
        order = {prefix + batch + version: i for i, batch in enumerate(batches)}
        for name, data in tree.contents(order, MAX_FILE):
            rows = slice(order[name] * size, (order[name] + 1) * size)
            parse = self._pickled if version == PYTHON else self._binary
            raw[rows], label[rows] = parse(data, size, f"{tree.path}: {name!r}")
        return Dataset.from_raw(
            self.name, split, raw[kept], label[kept], classes=self.classes, shape=SHAPE, divisor=255
        )

    def _find(self, data_dir: Path, batch: str) -> tuple[FileTree, str, str]:
        """Return where the files lie, what their names there begin with, and their version."""
        for base in (data_dir, data_dir / self.name):
            for version, (folder, archive) in self.places.items():
                for place in (base / folder, base):
                    if (place / (batch + version)).is_file():
                        return FolderTree(place), "", version
                if (base / archive).is_file():
                    return TarTree(base / archive), f"{folder}/", version
        raise InputError(
            f"--data-dir {data_dir}: no {batch}, {batch}.bin or archive; expected {self.files}"
        )

    def _binary(self, data: bytes, size: int, where: str) -> tuple[np.ndarray, np.ndarray]:
        width = self.label_bytes + PIXELS
        if len(data) != size * width:
            raise InputError(f"{where} has {len(data):,} bytes; expected {size * width:,}")
        rows = np.frombuffer(data, np.uint8).reshape(size, width)
        return rows[:, self.label_bytes :], self._checked(rows[:, self.label_bytes - 1], where)

    def _pickled(self, data: bytes, size: int, where: str) -> tuple[np.ndarray, np.ndarray]:
        batch = read_pickle(data, where)
        raw, label = batch.get(b"data"), batch.get(self.label_key)
        if not isinstance(raw, np.ndarray) or raw.shape != (size, PIXELS):
            found = f"shape {raw.shape}" if isinstance(raw, np.ndarray) else "not an array"
            raise InputError(f"{where}: data is {found}; expected uint8 ({size}, {PIXELS})")
        key = self.label_key.decode()
        if not isinstance(label, list) or len(label) != size:
            found = f"{len(label):,} entries" if isinstance(label, list) else "not a list"
            raise InputError(f"{where}: {key} is {found}; expected a list of {size:,} numbers")
        wrong = next((i for i, value in enumerate(label) if type(value) is not int), None)
        if wrong is not None:
            raise InputError(f"{where}: {key}[{wrong}] is not a whole number")
        return raw, self._checked(np.array(label, np.int64), where)

    def _checked(self, label: np.ndarray, where: str) -> np.ndarray:
        wrong = (label < 0) | (label >= self.classes)
        if wrong.any():
            i = int(wrong.argmax())
            raise InputError(f"{where}: label[{i}] is {label[i]}; expected 0 to {self.classes - 1}")
        return label


class Cifar100(Cifar10):
    """Labels: the 100 fine ones. Splits as for CIFAR-10."""

    name = "cifar100"
    files = (
        "cifar-100-python.tar.gz, cifar-100-binary.tar.gz, or the folder cifar-100-python or "
        "cifar-100-binary that is in it, in DIR or DIR/cifar100 (from Alex Krizhevsky's page "
        "'The CIFAR-10 dataset', University of Toronto)"
    )
    classes = 100
    places: ClassVar[dict[str, tuple[str, str]]] = {
        PYTHON: ("cifar-100-python", "cifar-100-python.tar.gz"),
        BINARY: ("cifar-100-binary", "cifar-100-binary.tar.gz"),
    }
    batches: ClassVar[dict[str, tuple[str, ...]]] = {"train": ("train",), "test": ("test",)}
    label_key = b"fine_labels"
    label_bytes = 2
