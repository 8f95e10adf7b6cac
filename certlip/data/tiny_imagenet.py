"""Tiny ImageNet: 200 classes, 64 × 64 colour pictures, in the layout of its archive.

The labels of its test part were never published; its `val` part is the test set here, as in the
literature, and validation comes out of the training part.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from certlip.data.base import DatasetReader
from certlip.data.dataset import Dataset
from certlip.data.file_tree import FolderTree
from certlip.data.images import decode_all, held_out
from certlip.errors import InputError

FOLDER = "tiny-imagenet-200"
CLASSES = 200
PER_CLASS = 500
TEST = 10_000
SHAPE = (3, 64, 64)
MAX_TEXT = 2**24


class TinyImageNet(DatasetReader):
    """Classes are numbered in the order of their names, n01443537 is 0.

    Splits: validation (every tenth of the training pictures, 10,000), train (the rest, 90,000),
    train-full (100,000), test (the 10,000 of `val`, in the order of val_annotations.txt).
    """

    name = "tiny-imagenet"
    splits = ("train", "validation", "train-full", "test")
    files = (
        "wnids.txt, train/nXXXXXXXX/images/*.JPEG, val/images/*.JPEG and val/val_annotations.txt in DIR or "
        "DIR/tiny-imagenet-200 (tiny-imagenet-200.zip, unpacked, from the page 'Tiny ImageNet' of "
        "Stanford's course CS231n)"
    )
    needs_dir = True

    def read(self, split: str, data_dir: Path | None) -> Dataset:
        self.check_split(split)
        root = self._root(self.folder(data_dir))
        number = {name: i for i, name in enumerate(_classes(root))}
        names, label = _tested(root, number) if split == "test" else _trained(root, number)
        kept = np.ones(len(names), bool)
        if split in ("train", "validation"):
            kept = held_out(len(names)) == (split == "validation")
        tree = FolderTree(root)
        chosen = [(tree, name) for name, keep in zip(names, kept, strict=True) if keep]
        images = decode_all(chosen, colour=True)
        if images.shape != SHAPE:
            raise InputError(f"{root}: pictures of shape {images.shape}; expected {SHAPE}")
        return Dataset.from_raw(
            *(self.name, split, images.rows, label[kept]),
            classes=CLASSES,
            shape=images.shape,
            divisor=255,
        )

    def _root(self, data_dir: Path) -> Path:
        for root in (data_dir, data_dir / FOLDER):
            if (root / "wnids.txt").is_file():
                return root
        raise InputError(f"--data-dir {data_dir}: no wnids.txt; expected {self.files}")


def _lines(root: Path, name: str) -> list[str]:
    _, data = next(iter(FolderTree(root).contents([name], MAX_TEXT)))
    try:
        return data.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{root / name}: {error}; expected plain text") from error


def _classes(root: Path) -> list[str]:
    classes = sorted(_lines(root, "wnids.txt"))
    if len(set(classes)) != CLASSES or len(classes) != CLASSES:
        raise InputError(
            f"{root / 'wnids.txt'}: {len(set(classes))} classes in {len(classes)} lines; "
            f"expected {CLASSES}"
        )
    for name in classes:
        if not name.isalnum():  # it becomes a part of a path
            raise InputError(f"{root / 'wnids.txt'}: {name!r}; expected a name like n01443537")
    return classes


def _trained(root: Path, number: dict[str, int]) -> tuple[list[str], np.ndarray]:
    names = []
    for wnid in number:
        folder = f"train/{wnid}/images"
        found = [f"{folder}/{name}" for name in FolderTree(root / folder).names()]
        if len(found) != PER_CLASS:
            raise InputError(f"{root / folder}: {len(found)} files; expected {PER_CLASS}")
        names += found
    return names, np.repeat(np.arange(CLASSES), PER_CLASS)


def _tested(root: Path, number: dict[str, int]) -> tuple[list[str], np.ndarray]:
    path = "val/val_annotations.txt"
    labels: dict[str, int] = {}
    for i, line in enumerate(_lines(root, path)):
        name, wnid, *_ = (*line.split("\t"), "", "")
        if wnid not in number or not name or "/" in name or f"val/images/{name}" in labels:
            raise InputError(
                f"{root / path}: line {i + 1}: {line[:80]!r}; expected a name that comes once, a tab "
                "and a class of wnids.txt"
            )
        labels[f"val/images/{name}"] = number[wnid]
    if len(labels) != TEST:
        raise InputError(f"{root / path}: {len(labels):,} pictures; expected {TEST:,}")
    return list(labels), np.array(list(labels.values()))
