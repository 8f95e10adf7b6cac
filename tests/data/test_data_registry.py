"""The registry of datasets, and what every dataset promises."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import certlip.data
from certlip.data import READERS, DatasetReader, load, names, reader
from certlip.data.cifar import PIXELS
from certlip.errors import InputError

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def npz_file(tmp_path: Path) -> str:
    path = tmp_path / "own.npz"
    np.savez(path, x=np.arange(24, dtype=np.uint8).reshape(6, 2, 2), y=np.arange(6))
    return f"npz:{path}"


def mnist_name(tmp_path: Path) -> str:
    if not (SHARED / "mnist").is_dir():
        pytest.skip("the MNIST files are not beside this checkout (../shared/data/mnist)")
    return "mnist"


def cifar_name(key: str, row: bytes) -> Callable[[Path], str]:
    """A test part of 10,000 equal rows beside the test, which then is the data folder."""

    def make(tmp_path: Path) -> str:
        name = {"cifar10": "test_batch.bin", "cifar100": "test.bin"}[key]
        (tmp_path / name).write_bytes(
            (row + b"\x01" + bytes(PIXELS - 1)) * 5_000 + (row + bytes(PIXELS)) * 5_000
        )
        return key

    return make


def tiny_imagenet(tmp_path: Path) -> str:
    wnids = [f"n{i:08}" for i in range(200)]
    (tmp_path / "wnids.txt").write_text("\n".join(wnids))
    pictures = tmp_path / "val" / "images"
    pictures.mkdir(parents=True)
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "blue").save(stream, "jpeg")
    (pictures / "0.JPEG").write_bytes(stream.getvalue())
    for i in range(1, 200):
        (pictures / f"{i}.JPEG").hardlink_to(pictures / "0.JPEG")
    lines = (f"{i}.JPEG\t{wnids[i % 200]}\t0\t0\t1\t1\n" for i in range(200))
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(lines))
    return "tiny-imagenet"


def image_folder(tmp_path: Path) -> str:
    for i in range(4):
        (tmp_path / "pictures" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), i).save(tmp_path / "pictures" / "ab"[i % 2] / f"{i}.png")
    return f"folder:{tmp_path / 'pictures'}"


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certlip.data.tiny_imagenet.TEST", 200)


# One row per dataset: name of the reader, a function that gives a loadable name, samples of "test".
ROWS = {
    "digits": (lambda _: "digits", 360),
    "mnist": (mnist_name, 10_000),
    "cifar10": (cifar_name("cifar10", b"\x09"), 10_000),
    "cifar100": (cifar_name("cifar100", b"\x13\x63"), 10_000),
    "tiny-imagenet": (tiny_imagenet, 200),
    "folder": (image_folder, 4),
    "npz": (npz_file, 6),
}


def test_every_dataset_has_a_row() -> None:
    assert set(ROWS) == set(READERS)


@pytest.mark.parametrize("key", READERS)
def test_reader_describes_itself(key: str) -> None:
    cls = READERS[key]
    assert issubclass(cls, DatasetReader)
    assert not inspect.isabstract(cls)
    assert cls.name == key
    assert cls.files
    assert "test" in cls.splits
    assert cls.__doc__


@pytest.mark.parametrize("key", READERS)
def test_dataset_keeps_its_promises(key: str, tmp_path: Path) -> None:
    make, count = ROWS[key]
    name = make(tmp_path)
    folder = SHARED if key == "mnist" else tmp_path
    dataset = load(name, split="test", data_dir=folder)
    assert len(dataset) == count
    assert dataset.name == name
    assert dataset.split == "test"
    assert dataset.x.min() >= 0.0
    assert dataset.x.max() <= 1.0
    if dataset.raw is not None and dataset.divisor is not None:
        assert np.array_equal(dataset.x, dataset.raw.astype(np.float64) / dataset.divisor)
    again = load(name, split="test", data_dir=folder)
    assert again.sha256() == dataset.sha256()
    three = load(name, split="test", data_dir=folder, limit=3)
    assert np.array_equal(three.x, dataset.x[:3])
    assert three.sha256() != dataset.sha256()


@pytest.mark.parametrize("key", READERS)
def test_unknown_split_is_refused(key: str, tmp_path: Path) -> None:
    name = ROWS[key][0](tmp_path)
    with pytest.raises(InputError, match=r"split 'tset'.*train.*test"):
        load(name, split="tset", data_dir=SHARED)


def test_names_are_those_of_the_command_line() -> None:
    assert names() == [
        *("digits", "mnist", "cifar10", "cifar100", "tiny-imagenet", "folder:PATH", "npz:PATH")
    ]
    assert set(certlip.data.__all__) <= set(dir(certlip.data))


def test_unknown_dataset_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'minst' is unknown \(did you mean 'mnist'\?\)"):
        load("minst")
    with pytest.raises(InputError, match=r"expected digits, mnist, cifar10, .*, npz:PATH"):
        load("nothing-like-it")


@pytest.mark.parametrize("name", ["npz", "npz:"])
def test_missing_path_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected 'npz:PATH'"):
        reader(name)


def test_text_after_a_plain_name_is_refused() -> None:
    with pytest.raises(InputError, match="expected 'digits' alone"):
        reader("digits:8")


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(InputError, match=f"limit: {limit}; expected 1 or more"):
        load("digits", limit=limit)
    with pytest.raises(InputError, match=f"limit: {limit}"):
        load("digits").first(limit)


def test_limit_above_the_size_keeps_everything() -> None:
    assert len(load("digits", limit=10**9)) == 360


def test_missing_folder_says_what_belongs_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CERTLIP_DATA_DIR", raising=False)
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte.*--data-dir DIR"):
        load("mnist")
    with pytest.raises(InputError, match="not a folder"):
        load("mnist", data_dir=tmp_path / "absent")
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte\[.gz\] not found"):
        load("mnist", data_dir=tmp_path)
    monkeypatch.setenv("CERTLIP_DATA_DIR", str(tmp_path / "from-environment"))
    with pytest.raises(InputError, match="from-environment: not a folder"):
        load("mnist")


@pytest.mark.parametrize("key", [key for key, cls in READERS.items() if cls.needs_dir])
def test_an_empty_folder_is_one_line_that_says_what_and_from_where(
    key: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        load(key, data_dir=tmp_path)
    said = str(caught.value)
    assert str(tmp_path) in said
    assert READERS[key].files in said
    assert "page '" in said  # where its authors publish it
    assert len(said.splitlines()) == 1
