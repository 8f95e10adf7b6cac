"""`folder:PATH`: pictures of the user's own, one folder per class, or a tar archive of such folders.

PATH holds the classes, or folders `train`, `validation` (or `val`) and `test` that hold them, or
archives of these names.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from certlip.data.base import DatasetReader
from certlip.data.dataset import Dataset
from certlip.data.file_tree import FileTree, FolderTree
from certlip.data.images import decode_all, held_out, is_image
from certlip.data.tar_tree import SUFFIXES, TarTree
from certlip.errors import InputError

PARTS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
"""For each folder of a split, which it is."""
ALL = "all"
"""The part of pictures that lie in no folder of a split."""


class Picture(NamedTuple):
    """Where a picture lies, and the name of its class."""

    tree: FileTree
    name: str
    label: str


class ImageFolder(DatasetReader):
    """Pictures in the order of class and name, all of one size, grey or RGB.

    Classes are numbered in the order of their names over all splits. Without folders for splits, all
    pictures stand for every split. Without one for validation, every tenth of train is for it, and
    train is the rest; train-full is all of train.
    """

    name = "folder"
    argument = "PATH"
    splits = ("train", "validation", "train-full", "test")
    files = (
        "PATH is a folder or a .tar, .tar.gz, .tar.xz or .tar.bz2 archive of one folder of pictures per "
        "class, or of train, validation and test, each a folder (or archive) of these"
    )

    def read(self, split: str, data_dir: Path | None) -> Dataset:
        del data_dir  # the name carries the path
        self.check_split(split)
        path = Path(self.text)
        parts = _parts(path)
        classes = sorted({picture.label for part in parts.values() for picture in part})
        pictures = _of_split(split, parts)
        if not pictures:
            found = ", ".join(f"{len(part):,} of {name}" for name, part in parts.items()) or "none"
            raise InputError(
                f"{path}: no pictures for split '{split}' (found: {found}); expected that {self.files}"
            )
        number = {name: i for i, name in enumerate(classes)}
        images = decode_all([(picture.tree, picture.name) for picture in pictures])
        return Dataset.from_raw(
            f"{self.name}:{self.text}",
            split,
            images.rows,
            np.array([number[picture.label] for picture in pictures]),
            classes=len(classes),
            shape=images.shape,
            divisor=255,
        )


def _of_split(split: str, parts: dict[str, list[Picture]]) -> list[Picture]:
    if ALL in parts:
        return parts[ALL]
    train = parts.get("train", [])
    if split == "train-full" or (split == "train" and "validation" in parts):
        return train
    if split in ("train", "validation") and "validation" not in parts:
        wanted = split == "validation"
        out = held_out(len(train))
        return [picture for picture, held in zip(train, out, strict=True) if held == wanted]
    return parts.get(split, [])


def _parts(path: Path) -> dict[str, list[Picture]]:
    """Return the pictures of every split that is there, each in order, or all of them as `ALL`."""
    if not path.is_dir():
        if not path.is_file():
            raise InputError(
                f"{path}: no such folder or archive; expected that {ImageFolder.files}"
            )
        return _of_tree(TarTree(path))
    parts = _of_tree(FolderTree(path))
    for name, part in PARTS.items():
        for archive in (path / f"{name}{suffix}" for suffix in SUFFIXES):
            if not archive.is_file():
                continue
            inside = _of_tree(TarTree(archive))
            if part in parts or ALL in parts or set(inside) - {ALL, part}:
                raise InputError(
                    f"{archive}: other pictures than those of {part}, or lie beside it"
                )
            parts[part] = inside.get(ALL, inside.get(part, []))
    return parts


def _of_tree(tree: FileTree) -> dict[str, list[Picture]]:
    """Return the pictures of one tree, from below its top folder where it has only that.

    Other files may lie beside the folders of the classes, not in them.
    """
    names = [(name, name.split("/")) for name in tree.names()]
    placed = [parts for name, parts in names if is_image(name) and len(parts) > 1]
    tops = {parts[0] for parts in placed}
    skip = int(len(tops) == 1 and not tops & set(PARTS) and all(len(p) > 2 for p in placed))
    with_splits = all(parts[skip] in PARTS and len(parts) == skip + 3 for parts in placed)
    depth = skip + 2 + with_splits
    found: dict[str, list[Picture]] = {}
    for name, parts in names:
        if len(parts) < depth and (not is_image(name) or len(parts) == 1):
            continue
        if len(parts) != depth or not is_image(name):
            raise InputError(f"{tree.path}: {name!r}: expected pictures in a folder of their class")
        part = PARTS[parts[skip]] if with_splits else ALL
        found.setdefault(part, []).append(Picture(tree, name, parts[-2]))
    return {part: sorted(group, key=lambda p: (p.label, p.name)) for part, group in found.items()}
