"""MNIST: the real files, and files that are not what they say."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from certlip.data import load
from certlip.data.idx import read_idx
from certlip.errors import InputError

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(
    not (SHARED / "mnist").is_dir(),
    reason="the MNIST files are not beside this checkout (../shared/data/mnist)",
)


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 | array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


IMAGES = idx(np.zeros((10_000, 28, 28)))
LABELS = idx(np.arange(10_000) % 10)


def write_test_set(folder: Path, images: bytes = IMAGES, labels: bytes = LABELS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "t10k-images-idx3-ubyte").write_bytes(images)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(labels)


@real
def test_test_set() -> None:
    dataset = load("mnist", data_dir=SHARED)
    assert dataset.x.shape == (10_000, 784)
    assert dataset.shape == (1, 28, 28)
    assert dataset.classes == 10
    assert dataset.label[:5].tolist() == [7, 2, 1, 0, 4]
    assert dataset.divisor == 255
    assert dataset.raw is not None
    assert np.array_equal(dataset.x, dataset.raw.astype(np.float64) / 255)


@real
def test_training_set_and_its_parts() -> None:
    full = load("mnist", split="train-full", data_dir=SHARED)
    assert len(full) == 60_000
    assert full.x.mean() == pytest.approx(0.1307, abs=5e-5)
    assert full.label[:5].tolist() == [5, 0, 4, 1, 9]
    assert full.raw is not None
    for split, rows in {"train": slice(0, 55_000), "validation": slice(55_000, None)}.items():
        part = load("mnist", split=split, data_dir=SHARED / "mnist")
        assert part.raw is not None
        assert np.array_equal(part.raw, full.raw[rows])
        assert np.array_equal(part.label, full.label[rows])


@pytest.mark.parametrize("folder", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("packed", [True, False])
def test_names_and_folders(tmp_path: Path, folder: str, mark: str, packed: bool) -> None:
    write_test_set(tmp_path / folder)
    for path in list((tmp_path / folder).iterdir()):
        name = path.name.replace("-idx", f"{mark}idx")
        content = path.read_bytes()
        path.unlink()
        if packed:
            path.with_name(name + ".gz").write_bytes(gzip.compress(content, 1, mtime=0))
        else:
            path.with_name(name).write_bytes(content)
    assert load("mnist", data_dir=tmp_path, limit=3).label.tolist() == [0, 1, 2]


def _swap(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + struct.pack(">I", value) + content[at + 4 :]


MALFORMED = {
    "images-magic": ((_swap(IMAGES, 0, 2049), LABELS), "images.*magic number 2049.*expected 2051"),
    "labels-magic": ((IMAGES, _swap(LABELS, 0, 2051)), "labels.*magic number 2051.*expected 2049"),
    "gzip-without-gz": (
        (gzip.compress(IMAGES, 1, mtime=0), LABELS),
        "magic number 529205.*expected 2051",
    ),
    "empty": ((b"", LABELS), "0 bytes; expected an IDX header of 16"),
    "short-header": ((IMAGES[:15], LABELS), "15 bytes; expected an IDX header of 16"),
    "truncated-images": ((IMAGES[:-1], LABELS), "truncated, 7,839,999 bytes.*expected 7,840,000"),
    "truncated-labels": ((IMAGES, LABELS[:-5]), "truncated, 9,995 bytes.*expected 10,000"),
    "trailing-images": ((IMAGES + b"\0", LABELS), "images.*trailing bytes"),
    "trailing-labels": ((IMAGES, LABELS + b"\0"), "labels.*trailing bytes"),
    "fewer-labels": ((IMAGES, idx(np.zeros(9_999))), "declares 9,999 entries; expected 10,000"),
    "fewer-images": ((idx(np.zeros((1, 28, 28))), LABELS), "declares 1 × 28 × 28 entries"),
    "wrong-size": ((idx(np.zeros((10_000, 8, 8))), LABELS), "10,000 × 8 × 8.*10,000 × 28 × 28"),
    "label-10": ((IMAGES, LABELS[:-1] + b"\x0a"), r"label\[9999\] is 10; expected 0 to 9"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files(tmp_path: Path, case: str) -> None:
    (images, labels), message = MALFORMED[case]
    write_test_set(tmp_path, images, labels)
    with pytest.raises(InputError, match=message):
        load("mnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LABELS, "expected a gzip file"),
        (gzip.compress(LABELS, mtime=0)[:-9], "damaged gzip stream"),
        (gzip.compress(LABELS, mtime=0)[:-8] + b"\0" * 8, "CRC check failed"),
        (gzip.compress(LABELS, mtime=0)[:20] + b"\xff" * 40, "damaged gzip stream"),
    ],
    ids=["not gzip", "cut short", "wrong checksum", "damaged"],
)
def test_malformed_gzip(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"labels.gz.*{message}"):
        read_idx(path, (10_000,))


def test_missing_labels(tmp_path: Path) -> None:
    write_test_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        InputError, match=r"no t10k-labels-idx1-ubyte\[.gz\]; expected train-images"
    ):
        load("mnist", data_dir=tmp_path)


def test_decompression_stops_one_byte_after_the_declared_end(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(LABELS + bytes(200_000_000), 1))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="trailing bytes"):
            read_idx(path, (10_000,))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
