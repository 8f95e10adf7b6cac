"""Datasets: labelled inputs in raw units, with a hash that a certificate can name.

    load("digits", split="test", limit=100).x     # float64 (100, 64), pixels in [0, 1]

A new dataset is one reader, one line of `READERS` and one test row.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from certlip.data.base import DatasetReader
from certlip.data.cifar import Cifar10, Cifar100
from certlip.data.dataset import Dataset
from certlip.data.digits import Digits
from certlip.data.image_folder import ImageFolder
from certlip.data.mnist import Mnist
from certlip.data.npz import Npz
from certlip.data.tiny_imagenet import TinyImageNet
from certlip.errors import InputError

__all__ = ["READERS", "Dataset", "DatasetReader", "load", "names", "reader"]

READERS: dict[str, type[DatasetReader]] = {
    "digits": Digits,
    "mnist": Mnist,
    "cifar10": Cifar10,
    "cifar100": Cifar100,
    "tiny-imagenet": TinyImageNet,
    "folder": ImageFolder,
    "npz": Npz,
}


def names() -> list[str]:
    """Return the datasets as the command line writes them, for example `npz:PATH`."""
    return [f"{key}:{cls.argument}" if cls.argument else key for key, cls in READERS.items()]


def reader(name: str) -> DatasetReader:
    """Return the reader of `digits`, `npz:PATH` and so on.

    Raises:
        InputError: no such dataset; the message has the nearest name and the list.
    """
    key, colon, text = name.partition(":")
    if key not in READERS:
        near = difflib.get_close_matches(key.lower(), READERS, n=1, cutoff=0.5)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise InputError(f"dataset '{name}' is unknown{hint}; expected {', '.join(names())}")
    return READERS[key](text if colon else None)


def load(
    name: str,
    *,
    split: str = "test",
    data_dir: str | Path | None = None,
    limit: int | None = None,
) -> Dataset:
    """Return the samples of one split.

    Args:
        name: A dataset of `names()`.
        split: One of the reader's splits.
        data_dir: Folder of the dataset's files; by default the environment's CERTLIP_DATA_DIR.
        limit: Keep so many samples, 1 or more: see `Dataset.limited`.

    Raises:
        InputError: unknown dataset or split, missing or malformed files, limit below 1.
    """
    source = reader(name)
    if limit is not None and limit < 1:
        raise InputError(f"limit: {limit}; expected 1 or more samples")
    folder = data_dir or os.environ.get("CERTLIP_DATA_DIR") or None
    dataset = source.read(split, Path(folder) if folder else None)
    return dataset if limit is None else dataset.limited(limit)
