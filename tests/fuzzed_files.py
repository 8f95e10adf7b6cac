"""How files are damaged, and files that claim or expand to far more than they hold."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

MIB = 1 << 20
Write = Callable[[Path], object]
LARGE = 3 << 30
"""Bytes that a bomb expands to."""


@dataclass(frozen=True)
class Bases:
    """Whole files of every format, which are then damaged."""

    folder: Path
    """With the files of LINES, a folder `run` of certify and one `training`."""

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


def damaged(content: bytes, flips: int, cuts: int) -> Iterator[tuple[str, bytes, bool]]:
    """Flipped bits, cuts, holes and random bytes; whether the result is surely wrong."""
    chance = random.Random(len(content))
    for k in range(flips):
        changed = bytearray(content)
        for _ in range(1 + 7 * (k % 2)):
            near = chance.randrange(min(len(content), 400))  # headers lie at both ends
            place = chance.choice((chance.randrange(len(content)), near, len(content) - 1 - near))
            changed[place] ^= 1 << chance.randrange(8)
        yield f"flip {k}", bytes(changed), False
    for k in range(cuts):
        yield f"cut {k}", content[: len(content) * k // cuts], True
    middle = len(content) // 2
    yield "a hole", content[:middle] + bytes(64) + content[middle + 64 :], False
    yield "noise", chance.randbytes(2000), True
    yield "noise after a good start", content[:64] + chance.randbytes(2000), True


def put(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


def zeros(size: int, wrap: int = 15) -> Iterator[bytes]:
    """`size` zeros, packed by deflate, in pieces."""
    pack = zlib.compressobj(1, wbits=wrap)
    for _ in range(size // MIB):
        yield pack.compress(bytes(MIB))
    yield pack.flush()


def zip_of_zeros(
    name: str, size: int, others: dict[str, bytes] | None = None, before: bytes = b""
) -> Write:
    """An archive with a packed member of so many zeros after `before`."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for other, content in (others or {}).items():
                archive.writestr(other, content)
            with archive.open(name, "w", force_zip64=True) as stream:
                stream.write(before)
                for _ in range(size // MIB):
                    stream.write(bytes(MIB))

    return write


def repacked(content: bytes) -> Write:
    """The same archive, with every member packed."""

    def write(path: Path) -> None:
        with (
            zipfile.ZipFile(io.BytesIO(content)) as old,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for info in old.infolist():
                new.writestr(info.filename, old.read(info))

    return write


def torch_bomb(size: int) -> Write:
    """A torch file with one tensor of so many bytes, all zero, packed."""
    number = b"J" + struct.pack("<i", size // 4)

    def write(path: Path) -> None:
        small = io.BytesIO()
        torch.save({"document": "{}", "tensors": {"a": torch.zeros(1)}}, small)
        with zipfile.ZipFile(small) as old:
            members = {info.filename: old.read(info) for info in old.infolist()}
        [pickled] = [name for name in members if name.endswith("data.pkl")]
        text = members[pickled].replace(b"K\x01tq", number + b"tq")  # entries of the storage
        members[pickled] = text.replace(b"QK\x00K\x01\x85", b"QK\x00" + number + b"\x85")
        [numbers] = [name for name in members if "/data/" in name]
        del members[numbers]
        zip_of_zeros(numbers, size, members)(path)

    return write


def npy(shape: str, dtype: str = "<f8") -> bytes:
    """A header that may lie, without numbers."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n"


def model_with(blocks: list[dict], **tensors: torch.Tensor) -> Write:
    document = {"schema": "certlip/model/1", "sha256": "0" * 64, "blocks": blocks, "history": []}
    content = {"document": json.dumps(document), "tensors": tensors}
    return lambda path: torch.save(content, path)


def changed_model(model: Path, change: Callable[[dict, dict], object]) -> Write:
    def write(path: Path) -> None:
        content = torch.load(model, weights_only=True)
        document = json.loads(content["document"])
        change(document, content["tensors"])
        torch.save({**content, "document": json.dumps(document)}, path)

    return write


HUGE = 10**12
HUGE_BLOCKS = {
    "resize": {"kind": "resize", "meta": {"d": HUGE, "q": HUGE}},
    "activation": {"kind": "activation", "meta": {"sigma": [["relu", HUGE, {}]]}},
    "group-sort": {"kind": "group-sort", "meta": {"d": HUGE, "group": 2, "stride": 1}},
    "pooling": {
        "kind": "pooling",
        "meta": {"height": 10**6, "width": 10**6, "channels": 1, "window": 10},
    },
    "window": {
        "kind": "window",
        "meta": {
            "height": 10**6,
            "width": 10**6,
            "channels": 1,
            "top": 0,
            "left": 0,
            "rows": 10**6,
            "columns": 10**6,
            "row_step": 1,
            "column_step": 1,
        },
    },
}


def png(width: int, height: int) -> bytes:
    """A picture of so many black pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(zeros(max((width + 1) * height, MIB))) if width * height < 1 << 28 else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def gz(content: bytes) -> bytes:
    return gzip.compress(content, 1)


def gz_zeros(size: int) -> bytes:
    return b"".join(zeros(size, 31))


def arrays(**values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **values)
    return stream.getvalue()
