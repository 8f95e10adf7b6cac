"""CIFAR in its four archives, made here byte by byte, and batches that are not what they say."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pickle
import struct
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlip.data import cifar, load
from certlip.data.cifar import Cifar10, Cifar100
from certlip.data.cifar_pickle import STEPS, read_pickle
from certlip.errors import InputError

READERS = {"cifar10": Cifar10, "cifar100": Cifar100}
COUNT = {"train": 50, "test": 10}


def text(value: bytes) -> bytes:
    return b"U" + bytes([len(value)]) + value


def array(values: np.ndarray, code: bytes = b"u1") -> bytes:
    """An array as Python 2 and NumPy of that time wrote it."""
    n, d = values.shape
    head = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\t"
    )
    size = b"(K\x01M" + struct.pack("<H", n) + b"M" + struct.pack("<H", d) + b"\x86"
    kind = b"cnumpy\ndtype\nq\n" + text(code) + b"K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNN"
    kind += 2 * b"J\xff\xff\xff\xff" + b"K\x00tb\x89"
    data = values.tobytes()
    return head + size + kind + b"T" + struct.pack("<i", len(data)) + data + b"tb"


def numbers(values: Any) -> bytes:
    return b"](" + b"".join(b"K" + bytes([int(v)]) for v in values) + b"e"


def pickled(raw: np.ndarray, label: Any, key: bytes = b"labels") -> bytes:
    body = text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5") + b"q\x03"
    body += text(key) + b"q\x04" + numbers(label) + text(b"data") + array(raw)
    return b"\x80\x02}q\x01(" + body + text(b"filenames") + b"]" + text(b"a_\xe9.png") + b"au."


def samples(reader: type[Cifar10], part: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(len(part))
    n = COUNT[part]
    raw = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
    return raw, rng.integers(0, reader.classes, n)


def batch_files(reader: type[Cifar10], version: str) -> dict[str, bytes]:
    files = {}
    for part, names in reader.batches.items():
        raw, label = samples(reader, part)
        pieces = zip(np.split(raw, len(names)), np.split(label, len(names)), strict=True)
        for name, (x, y) in zip(names, pieces, strict=True):
            if version == cifar.PYTHON:
                files[name] = pickled(x, y, reader.label_key)
            else:
                coarse = np.full((len(y), reader.label_bytes - 1), 77)
                rows = np.hstack([coarse, y[:, None], x]).astype(np.uint8)
                files[name + ".bin"] = rows.tobytes()
    return files


def write_tar(path: Path, files: dict[str, bytes], mode: Any = "w:gz") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write(place: str, base: Path, reader: type[Cifar10], version: str, files: Any = None) -> None:
    files = batch_files(reader, version) if files is None else files
    folder, archive = reader.places[version]
    if place == "archive":
        inside = {f"{folder}/readme.html": b"x"} | {f"{folder}/{k}": v for k, v in files.items()}
        write_tar(base / archive, dict(reversed(inside.items())))
        return
    root = base / folder if place == "folder" else base
    root.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (root / name).write_bytes(data)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "COUNT", COUNT)
    rows = {"train": ("train", slice(0, 45)), "validation": ("train", slice(45, 50))}
    rows |= {"train-full": ("train", slice(0, 50)), "test": ("test", slice(0, 10))}
    monkeypatch.setattr(cifar, "ROWS", rows)


@pytest.mark.parametrize("key", READERS)
@pytest.mark.parametrize("version", [cifar.PYTHON, cifar.BINARY])
@pytest.mark.parametrize("place", ["archive", "folder", "inside"])
@pytest.mark.parametrize("base", ["", "own"])
def test_all_versions_give_the_same(
    tmp_path: Path, key: str, version: str, place: str, base: str
) -> None:
    reader = READERS[key]
    write(place, tmp_path / (key if base else ""), reader, version)
    for split, part, rows in [
        ("train", "train", slice(0, 45)),
        ("validation", "train", slice(45, 50)),
        ("train-full", "train", slice(0, 50)),
        ("test", "test", slice(0, 10)),
    ]:
        raw, label = samples(reader, part)
        dataset = load(key, split=split, data_dir=tmp_path)
        assert np.array_equal(dataset.stored, raw[rows])
        assert np.array_equal(dataset.label, label[rows])
        assert (dataset.shape, dataset.classes, dataset.divisor) == (
            (3, 32, 32),
            reader.classes,
            255,
        )


def test_the_sizes_are_those_of_the_page() -> None:
    assert (Cifar10.classes, Cifar100.classes, cifar.PIXELS) == (10, 100, 3072)
    assert len(Cifar10.batches["train"]) == 5


def test_the_batches_made_here_are_pickles() -> None:
    raw, label = samples(Cifar10, "test")
    data = pickled(raw, label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names of NumPy that have moved since
        known = pickle.loads(data, encoding="bytes")
    found = read_pickle(data, "batch")
    assert list(found) == list(known)
    assert np.array_equal(found[b"data"], known[b"data"])
    assert found[b"labels"] == known[b"labels"] == label.tolist()
    assert found[b"filenames"] == [b"a_\xe9.png"]


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_executed(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "owned"
    data = pickle.dumps({b"data": Evil(target), b"labels": []}, protocol)
    write("folder", tmp_path, Cifar10, cifar.PYTHON, {"test_batch": data})
    with pytest.raises(InputError, match=r"test_batch.*nothing in it is executed"):
        load("cifar10", data_dir=tmp_path)
    assert not target.exists()
    pickle.loads(data)
    assert target.exists()  # the attack works where pickles are believed


RAW, LABEL = samples(Cifar10, "test")
GOOD = pickled(RAW, LABEL)
WRONG = LABEL.copy()
WRONG[3] = 10
MALFORMED = {
    "the name os.system": (b"\x80\x02cos\nsystem\nU\x02ls\x85R.", r"the name 'os.system' at byte"),
    "a name in two words": (b"\x80\x02cnumpy\ncore.ndarray\n.", "the name 'numpy.core.ndarray'"),
    "a call of ndarray": (b"\x80\x02cnumpy\nndarray\nK\x00\x85R.", "a call at byte"),
    "a call of a string": (b"\x80\x02U\x01aK\x00\x85R.", "a call at byte"),
    "state of a list": (b"\x80\x02]K\x00\x85b.", "the state of an object"),
    "python 3": (pickle.dumps({b"data": 1}, 3), "protocol 3 at byte 2"),
    "text": (b"not a pickle", "instruction b'n' at byte 1"),
    "empty": (b"", "cut short after 0 bytes"),
    "cut short": (GOOD[:-40_000], "cut short after"),
    "no end": (GOOD[:-1], "cut short after"),
    "a far memo": (b"\x80\x02}r\xff\xff\xff\xffj\xfe\xff\xff\xff.", "damaged pickle at byte 13"),
    "empty stack": (b"\x80\x02.", "damaged pickle"),
    "no mark": (b"\x80\x02]e.", "damaged pickle"),
    "endless name": (b"\x80\x02c" + b"a" * 500, "damaged pickle"),
    "negative length": (b"\x80\x02T\xff\xff\xff\xff.", "a string of negative length"),
    "a list": (b"\x80\x02].", "holds a list; expected a dictionary"),
    "list as key": (b"\x80\x02}]Ns.", "an entry of what is no dictionary"),
    "a key twice": (b"\x80\x02}U\x01aNsU\x01aNs.", "or one that is there already"),
    "append to none": (b"\x80\x02NNa.", "an entry of what is no list"),
    "other numbers": (pickled(RAW, LABEL).replace(b"U\x02u1", b"U\x02i1"), "not one of bytes"),
    "wrong bytes": (GOOD.replace(b"M\x0a\0M", b"M\x0b\0M"), "not one of bytes; expected uint8"),
    "no labels": (pickled(RAW, LABEL, b"label"), "labels is not a list; expected a list of 10"),
    "no data": (b"\x80\x02}.", r"data is not an array; expected uint8 \(10, 3072\)"),
    "fewer rows": (pickled(RAW[:9], LABEL), r"shape \(9, 3072\); expected uint8 \(10, 3072\)"),
    "wide rows": (pickled(np.zeros((10, 3075), np.uint8), LABEL), r"shape \(10, 3075\)"),
    "fewer labels": (pickled(RAW, LABEL[1:]), "labels is 9 entries"),
    "label 10": (pickled(RAW, WRONG), r"label\[3\] is 10; expected 0 to 9"),
    "label true": (
        GOOD.replace(b"](K" + bytes([LABEL[0]]), b"](\x88"),
        r"labels\[0\] is not a whole",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_pickles(tmp_path: Path, case: str) -> None:
    data, message = MALFORMED[case]
    write("folder", tmp_path, Cifar10, cifar.PYTHON, {"test_batch": data})
    with pytest.raises(InputError, match=f"test_batch.*{message}") as caught:
        load("cifar10", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


@given(st.lists(st.sampled_from([*STEPS, b".", b"\x00", b"\x01", b"\xff", b"numpy\nndarray\n"])))
def test_any_program_is_read_or_refused(steps: list[bytes]) -> None:
    try:
        value = read_pickle(b"\x80\x02" + b"".join(steps), "batch")
    except InputError:
        return
    assert isinstance(value, dict)


@given(st.data())
def test_any_damage_is_read_or_refused(data: Any) -> None:
    good = bytearray(pickled(RAW[:, :30], LABEL))
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError):
        assert isinstance(read_pickle(bytes(good), "batch"), dict)


def test_an_array_in_columns() -> None:
    columns = array(np.arange(6, dtype=np.uint8).reshape(2, 3)).replace(b"tb\x89T", b"tb\x88T")
    found = read_pickle(b"\x80\x02}U\x01a" + columns + b"s.", "batch")[b"a"]
    assert np.array_equal(found, np.arange(6).reshape(3, 2).T)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[:-1], r"test_batch.bin' has 30,729 bytes; expected 30,730"),
        (lambda d: d + b"\0", r"test_batch.bin' has 30,731 bytes; expected 30,730"),
        (lambda d: b"\x0a" + d[1:], r"test_batch.bin': label\[0\] is 10; expected 0 to 9"),
    ],
)
def test_malformed_binaries(tmp_path: Path, change: Any, message: str) -> None:
    data = change(batch_files(Cifar10, cifar.BINARY)["test_batch.bin"])
    write("archive", tmp_path, Cifar10, cifar.BINARY, {"test_batch.bin": data})
    with pytest.raises(InputError, match=message):
        load("cifar10", data_dir=tmp_path)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no test, test.bin or archive; expected cifar-100-python"
    ):
        load("cifar100", data_dir=tmp_path)
    files = batch_files(Cifar10, cifar.PYTHON)
    del files["data_batch_3"]
    write("archive", tmp_path, Cifar10, cifar.PYTHON, files)
    with pytest.raises(InputError, match="'cifar-10-batches-py/data_batch_3' is missing"):
        load("cifar10", split="train", data_dir=tmp_path)
    write("folder", tmp_path, Cifar10, cifar.PYTHON, files)
    with pytest.raises(InputError, match="cifar-10-batches-py: 'data_batch_3' is missing"):
        load("cifar10", split="train", data_dir=tmp_path)


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "MAX_FILE", 1000)
    for place in ("folder", "archive"):
        write(place, tmp_path / place, Cifar10, cifar.BINARY)
        with pytest.raises(InputError, match="30,730 bytes; expected at most 1,000"):
            load("cifar10", data_dir=tmp_path / place)


def test_an_archive_cut_short(tmp_path: Path) -> None:
    write("archive", tmp_path, Cifar10, cifar.PYTHON)
    path = tmp_path / "cifar-10-python.tar.gz"
    whole = path.read_bytes()
    plain = gzip.decompress(whole)
    for data in (whole[:-9], whole[: len(whole) // 2], gzip.compress(plain[:-10_240])):
        path.write_bytes(data)
        with pytest.raises(InputError, match="expected a whole"):
            load("cifar10", data_dir=tmp_path)
