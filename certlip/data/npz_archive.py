"""Reading a .npz file that may be hostile: sizes are checked before anything is expanded.

A member that is not compressed (`np.savez` writes such) is mapped from the file, whatever its size;
the file must stay as it is while the array is used.
"""

from __future__ import annotations

import lzma
import math
import struct
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from certlip.errors import InputError

MAX_BYTES = 2**30
"""Limit of what compressed members declare in all; members that are not compressed have none."""
CHUNK = 2**20
"""Bytes of a mapped member that are read at a time for its checksum."""
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,  # a compression that this Python cannot read
    RuntimeError,  # an encrypted member
)


class NpzArchive:
    """The arrays of a .npz file by name, without the `.npy` of the members. A context manager.

    Raises:
        InputError: not a zip file, the same name twice, or more than `MAX_BYTES` declared.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except DAMAGED as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{path}: {reason}; expected a .npz file") from error
        try:
            self._members = self._checked_members()
        except InputError:
            self._zip.close()
            raise

    def __enter__(self) -> NpzArchive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays, in the order of the file."""
        return tuple(self._members)

    def read(self, name: str) -> np.ndarray:
        """Return one array.

        Raises:
            InputError: damaged, not a .npy array of plain numbers, or a size that differs from
                what the archive declares.
        """
        info = self._members[name]
        try:
            with self._zip.open(info) as stream:
                return self._array(name, info, stream)
        except DAMAGED as error:
            raise InputError(f"{self.path}: {name} is damaged ({error})") from error

    def _array(self, name: str, info: zipfile.ZipInfo, stream: IO[bytes]) -> np.ndarray:
        try:
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
            elif version == (2, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
            else:
                raise ValueError(f"version {version} of the .npy format")
            if any(size < 0 for size in shape):
                raise ValueError(f"shape {shape}")
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{self.path}: {name}: {reason}; expected a .npy array") from error
        if dtype.kind not in "biufc":
            raise InputError(f"{self.path}: {name} is {dtype}; expected plain numbers")
        count = 1
        for size in shape:  # Python integers: no overflow
            count *= size
        stored = info.compress_type == zipfile.ZIP_STORED
        left = info.file_size - stream.tell()
        if count * dtype.itemsize != left:
            raise InputError(
                f"{self.path}: {name} has {left:,} bytes of data; expected "
                f"{count * dtype.itemsize:,} for {dtype} of shape {shape}"
            )
        if stored and left:
            return self._mapped(name, info, dtype, shape, fortran)
        data, found = np.empty(left, np.uint8), 0
        while piece := stream.read(CHUNK):  # to the end, where zipfile compares the checksum
            data[found : found + len(piece)] = np.frombuffer(piece, np.uint8)[: left - found]
            found += len(piece)
        if found != left:
            raise InputError(f"{self.path}: {name} is truncated; expected {left:,} bytes of data")
        return data.view(dtype).reshape(shape, order="F" if fortran else "C")

    def _mapped(
        self,
        name: str,
        info: zipfile.ZipInfo,
        dtype: np.dtype,
        shape: tuple[int, ...],
        fortran: bool,
    ) -> np.ndarray:
        """The array of a member that is not compressed, mapped, after a look at its checksum."""
        with self.path.open("rb") as file:
            file.seek(info.header_offset + 26)
            names = file.read(4)
            start = info.header_offset + 30 + sum(struct.unpack("<2H", names))
            file.seek(start)
            checksum, left = 0, info.file_size
            while left and (chunk := file.read(min(CHUNK, left))):
                checksum, left = zlib.crc32(chunk, checksum), left - len(chunk)
        if left or checksum != info.CRC:
            raise InputError(f"{self.path}: {name} is damaged (Bad CRC-32)")
        start += info.file_size - dtype.itemsize * math.prod(shape)
        return np.memmap(self.path, dtype, "r", start, shape, "F" if fortran else "C")

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        total = 0
        for info in self._zip.infolist():
            total += info.file_size if info.compress_type != zipfile.ZIP_STORED else 0
            name = info.filename.removesuffix(".npy")
            if name in members:
                raise InputError(f"{self.path}: two arrays named {name!r}; expected one")
            members[name] = info
        if total > MAX_BYTES:
            raise InputError(
                f"{self.path}: declares {total:,} compressed bytes; expected at most {MAX_BYTES:,}, "
                "or members that are not compressed (np.savez)"
            )
        return members
