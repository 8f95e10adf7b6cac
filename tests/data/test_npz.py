"""`npz:PATH`: what is read, and what is refused."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlip.data import load
from certlip.data import npz_archive as archive_module
from certlip.data.npz import Npz
from certlip.errors import InputError

X = np.linspace(0.0, 1.0, 12).reshape(3, 2, 2)
Y = np.array([0, 2, 1])


def save(tmp_path: Path, **arrays: Any) -> str:
    path = tmp_path / "own.npz"
    np.savez_compressed(path, **arrays)
    return f"npz:{path}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f8"])
def test_floats_are_kept_exactly(tmp_path: Path, dtype: Any) -> None:
    x = X.astype(dtype)
    dataset = load(save(tmp_path, x=x, y=Y))
    assert dataset.x.dtype == np.float64
    assert np.array_equal(dataset.x, x.reshape(3, 4).astype(np.float64))
    assert (dataset.shape, dataset.classes) == ((2, 2), 3)
    assert dataset.divisor is None
    assert dataset.raw is None


@pytest.mark.parametrize("order", ["C", "F"])
def test_bytes_are_pixels(tmp_path: Path, order: Any) -> None:
    raw = np.asarray(np.arange(12).reshape(3, 2, 2) * 20, dtype=np.uint8, order=order)
    dataset = load(save(tmp_path, x=raw, y=Y.astype(np.uint8)))
    assert dataset.divisor == 255
    assert dataset.raw is not None
    assert np.array_equal(dataset.raw, raw.reshape(3, 4))
    assert np.array_equal(dataset.x, raw.reshape(3, 4).astype(np.float64) / 255)


def test_the_split_has_its_own_arrays(tmp_path: Path) -> None:
    name = save(tmp_path, x=X, y=Y, x_test=X[:1], y_test=[5], x_holdout=X[:2], y_holdout=[1, 1])
    assert len(load(name, split="train")) == 3
    assert load(name, split="test").label.tolist() == [5]
    assert len(load(name, split="holdout")) == 2
    assert load(name, split="train").classes == 6  # the same for every split
    with pytest.raises(InputError, match=r"split 'hold'; expected .*'holdout'"):
        load(name, split="hold")


def _with(index: tuple[int, ...], value: float) -> np.ndarray:
    x = X.copy()
    x[index] = value
    return x


REFUSED = {
    "nan": ({"x": _with((1, 0, 1), np.nan), "y": Y}, r"x\[1\], entry 1, is nan"),
    "inf": ({"x": _with((0, 0, 0), np.inf), "y": Y}, r"x\[0\], entry 0, is inf"),
    "above-1": ({"x": X * 255, "y": Y}, r"raw input units are pixels in \[0, 1\]"),
    "below-0": ({"x": X - 0.01, "y": Y}, r"is -0.01; raw input units"),
    "float16": ({"x": X.astype(np.float16), "y": Y}, "x is float16; expected uint8, float32"),
    "int64": ({"x": (X * 255).astype(int), "y": Y}, "x is int64; expected uint8"),
    "complex": ({"x": X + 0j, "y": Y}, "x is complex128"),
    "one-dimensional": ({"x": X.ravel(), "y": np.zeros(12, int)}, r"x has shape \(12,\)"),
    "empty": ({"x": X[:0], "y": Y[:0]}, "at least one sample"),
    "no-features": ({"x": np.zeros((3, 0)), "y": Y}, "at least one sample"),
    "mismatch": ({"x": X, "y": Y[:2]}, "x has 3 samples and y 2 labels"),
    "negative": ({"x": X, "y": Y - 1}, r"y\[0\] is -1; expected a label of 0 or more"),
    "huge": ({"x": X, "y": np.array([0, 0, 2**63], np.uint64)}, r"y\[2\] is 9223372036854775808"),
    "float-labels": ({"x": X, "y": Y / 2}, r"y is float64 of shape \(3,\); expected integers"),
    "one-hot": ({"x": X, "y": np.eye(3, dtype=int)}, r"y is int64 of shape \(3, 3\)"),
    "no-y": ({"x": X}, "no array 'y' for split 'test'; it has 'x'"),
    "half-a-split": ({"x": X, "y": Y, "x_test": X}, "no array 'y_test' for split 'test'"),
    "objects": ({"x": X, "y": np.array([0, None, 2])}, "y is object; expected plain numbers"),
    "text": ({"x": np.full((3, 2), "a"), "y": Y}, "x is <U1; expected plain numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_arrays(tmp_path: Path, case: str) -> None:
    arrays, message = REFUSED[case]
    with pytest.raises(InputError, match=f"own.npz: .*{message}"):
        load(save(tmp_path, **arrays))


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


MEMBERS = {
    "size-too-large": ([("x.npy", header("(10, 4)") + bytes(8))], "expected 320 for float64"),
    "trailing": ([("x.npy", npy(X) + b"\0")], "97 bytes of data; expected 96"),
    "exabytes": ([("x.npy", header("(1099511627776, 1048576)"))], "x has 0 bytes of data"),
    "negative-shape": ([("x.npy", header("(-1, -4)") + bytes(32))], "expected a .npy array"),
    "header-code": ([("x.npy", header("__import__('os')"))], "expected a .npy array"),
    "not-npy": ([("x.npy", b"hello, world")], "expected a .npy array"),
    "version-3": ([("x.npy", b"\x93NUMPY\x03\x00" + bytes(9))], r"version \(3, 0\)"),
    "twice": ([("x.npy", npy(X)), ("x.npy", npy(X))], "two arrays named 'x'"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", MEMBERS)
def test_malformed_members(tmp_path: Path, case: str) -> None:
    members, message = MEMBERS[case]
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("y.npy", npy(Y))
        for name, content in members:
            archive.writestr(name, content)
    with pytest.raises(InputError, match=message):
        load(f"npz:{path}")


def test_not_a_zip_file(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    with pytest.raises(InputError, match=r"own.npz: No such file.*expected a .npz file"):
        load(f"npz:{path}")
    path.write_bytes(b"\x80\x04K\x01.")  # a pickle
    with pytest.raises(InputError, match=r"expected a .npz file"):
        load(f"npz:{path}")


@pytest.mark.parametrize("n", [3, 3000])
def test_wrong_checksum(tmp_path: Path, n: int) -> None:
    path, x = tmp_path / "own.npz", np.linspace(0.0, 1.0, 4 * n).reshape(n, 4)
    np.savez(path, x=x, y=np.zeros(n, np.uint8))
    content = bytearray(path.read_bytes())
    content[content.index(x.tobytes()) + 32 * (n - 1)] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x is damaged .*Bad CRC-32"):
        load(f"npz:{path}")


def test_limit_on_the_declared_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = save(tmp_path, x=X, y=Y, other=np.zeros(10_000))
    assert len(load(name)) == 3
    monkeypatch.setattr(archive_module, "MAX_BYTES", 50_000)
    with pytest.raises(InputError, match=r"declares 80,.* expected at most 50,000"):
        load(name)
    np.savez(tmp_path / "stored.npz", x=X, y=Y, other=np.zeros(10_000))
    assert len(load(f"npz:{tmp_path / 'stored.npz'}")) == 3  # what is not expanded has no limit


def test_an_array_that_only_claims_to_be_large(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("y.npy", npy(Y))
        archive.writestr("x.npy", header("(1099511627776, 1048576)"))
    with pytest.raises(InputError, match="x has 0 bytes of data; expected 9,223,372"):
        load(f"npz:{path}")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f4", "<f8", ">f8"])
def test_what_is_not_compressed_is_the_same_and_mapped(
    tmp_path: Path, dtype: str, order: Any
) -> None:
    x = np.asarray(np.random.default_rng(1).random((50, 3, 5)) * (255 if dtype == "u1" else 1))
    x = np.asarray(x.astype(dtype), order=order)
    unpacked = load(save(tmp_path, x=x, y=np.arange(50)))
    path = tmp_path / "stored.npz"
    for before in (b"", b"prefix of any length"):
        content = io.BytesIO()
        np.savez(content, x=x, a=np.zeros(3, np.uint8), y=np.arange(50))
        path.write_bytes(before + content.getvalue())
        mapped = load(f"npz:{path}")
        assert mapped.sha256() == unpacked.sha256()
        assert np.array_equal(mapped.rows(slice(7, 9)), unpacked.x[7:9])
        assert mapped.rows(slice(7, 9)).flags.aligned
        if order == "C":
            assert isinstance(mapped.stored, np.memmap)


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_memory_does_not_grow_with_the_samples(tmp_path: Path, dtype: str) -> None:
    """What is certified of a large file goes through memory in batches."""
    path, peaks = tmp_path / "large.npz", []
    for n in (10_000, 80_000):
        np.savez(path, x=np.zeros((n, 64), dtype), y=np.zeros(n, np.uint8))
        tracemalloc.start()
        try:
            dataset = load(f"npz:{path}")
            dataset.sha256()
            for start in range(0, n, 256):
                dataset.rows(slice(start, start + 256))
            peaks.append(tracemalloc.get_traced_memory()[1] - 20 * n)  # labels
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000, peaks


@given(data=st.data(), write=st.sampled_from([np.savez, np.savez_compressed]))
def test_damage_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, write: Any
) -> None:
    """Any bytes changed or cut: an InputError, or pixels that are still pixels."""
    path = tmp_path_factory.mktemp("damaged") / "damaged.npz"  # a mapped file is not written again
    write(path, x=X, y=Y)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    with contextlib.suppress(InputError):
        x = Npz(str(path)).read("test", None).x
        assert ((x >= 0) & (x <= 1)).all()
