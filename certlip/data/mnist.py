"""MNIST: 70,000 handwritten digits, 28 × 28, from the four IDX files, compressed or not."""

from __future__ import annotations

from pathlib import Path

from certlip.data.base import DatasetReader
from certlip.data.dataset import Dataset
from certlip.data.idx import read_idx
from certlip.errors import InputError

FOLDERS = ("", "mnist", "MNIST/raw")
"""Where the files are looked for below the data folder; the last is torchvision's place."""
ROWS = {
    "train": ("train", slice(0, 55_000)),
    "validation": ("train", slice(55_000, 60_000)),
    "train-full": ("train", slice(0, 60_000)),
    "test": ("t10k", slice(0, 10_000)),
}
"""For each split, the file it lies in and its rows there."""
COUNT = {"train": 60_000, "t10k": 10_000}


class Mnist(DatasetReader):
    """Splits: train (the first 55,000), validation (the last 5,000), train-full, test (10,000)."""

    name = "mnist"
    splits = tuple(ROWS)
    files = (
        "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
        "t10k-labels-idx1-ubyte (or .idx3-ubyte, .idx1-ubyte; with .gz or not) in DIR, "
        "DIR/mnist or DIR/MNIST/raw (from Yann LeCun's page 'The MNIST database'; "
        "torchvision.datasets.MNIST(DIR, download=True) puts them there as well)"
    )
    needs_dir = True

    def read(self, split: str, data_dir: Path | None) -> Dataset:
        self.check_split(split)
        part, rows = ROWS[split]
        images, labels = self._paths(part, self.folder(data_dir))
        count = COUNT[part]
        label = read_idx(labels, (count,))
        if label.max() > 9:
            i = int((label > 9).argmax())
            raise InputError(f"{labels}: label[{i}] is {label[i]}; expected 0 to 9")
        raw = read_idx(images, (count, 28, 28))[rows]
        return Dataset.from_raw(
            self.name, split, raw, label[rows], classes=10, shape=(1, 28, 28), divisor=255
        )

    def _paths(self, part: str, data_dir: Path) -> tuple[Path, Path]:
        """Return the files of images and labels, both from the first folder that has images."""
        for folder in FOLDERS:
            images = _find(data_dir / folder, f"{part}-images", "idx3-ubyte")
            if images is None:
                continue
            labels = _find(images.parent, f"{part}-labels", "idx1-ubyte")
            if labels is None:
                raise InputError(
                    f"{images.parent}: no {part}-labels-idx1-ubyte[.gz]; expected {self.files}"
                )
            return images, labels
        raise InputError(
            f"--data-dir {data_dir}: {part}-images-idx3-ubyte[.gz] not found; expected {self.files}"
        )


def _find(folder: Path, stem: str, kind: str) -> Path | None:
    candidates = (folder / f"{stem}{mark}{kind}{gz}" for mark in "-." for gz in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)
