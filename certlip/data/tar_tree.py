"""A tar archive that may be hostile, read in one pass from its beginning and never extracted.

Every pass goes to the end of the archive: a checksum lies there, and a name that comes twice might.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from certlip.data.file_tree import FileTree, hidden
from certlip.errors import InputError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
OPENERS = {b"\x1f\x8b": gzip.GzipFile, b"\xfd7zXZ\0": lzma.LZMAFile, b"BZh": bz2.BZ2File}
MAX_READ = 256 * 2**20
"""Bytes of one read at most; what an archive says of its own names is read at once."""
MAX_BYTES = 64 * 2**30
"""Bytes of an archive at most, expanded."""
MAX_MEMBERS = 2_000_000
CHUNK = 2**20
BLOCK = 512
DAMAGED = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError)


class TarTree(FileTree):
    """The plain files of a tar archive, compressed or not; links among them are refused."""

    def names(self) -> list[str]:
        return sorted(name for name, _, _ in self._members())

    def contents(self, names: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
        left = set(names)
        for name, member, tar in self._members():
            if name not in left:
                continue
            if member.size > most:
                raise self.too_large(name, member.size, most)
            stream = tar.extractfile(member)
            if stream is None:
                raise self.missing(name)
            data = stream.read()
            if len(data) != member.size:
                raise InputError(f"{self.path}: {name!r} is cut short; expected a whole archive")
            left.remove(name)
            yield name, data
        if left:
            raise self.missing(min(left))

    def _members(self) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
        """Yield the plain files with their names, and refuse what is not for reading."""
        seen: set[str] = set()
        try:
            with _Bounded(self.path) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
                for count, member in enumerate(tar):
                    if count >= MAX_MEMBERS:
                        raise InputError(f"{self.path}: expected at most {MAX_MEMBERS:,} members")
                    name = self._name(member)
                    if member.isdir() or any(map(hidden, name.split("/"))):
                        continue
                    if not member.isreg() or member.issparse():
                        raise InputError(
                            f"{self.path}: {name!r} is a link or a device; expected plain files"
                        )
                    if name in seen:
                        raise InputError(f"{self.path}: two members {name!r}; expected one")
                    seen.add(name)
                    yield name, member, tar
                if stream.last != bytes(BLOCK):  # a damaged header ends the loop as well
                    raise InputError(f"{self.path}: no end of the archive; expected a whole one")
                stream.finish()
        except DAMAGED as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise InputError(f"{self.path}: {reason}; expected a whole tar archive") from error

    def _name(self, member: tarfile.TarInfo) -> str:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise InputError(
                f"{self.path}: member {member.name!r} points out of the archive; "
                "expected names below it"
            )
        return str(path)


class _Bounded(io.RawIOBase):
    """The expanded bytes of an archive, from which no read and no sum of them asks for too much."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.last = b""
        with path.open("rb") as file:
            magic = file.read(6)
        opener = next((kind for mark, kind in OPENERS.items() if magic.startswith(mark)), None)
        self._stream = path.open("rb") if opener is None else opener(path)

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= MAX_READ:
            raise InputError(
                f"{self.path}: a header of {size:,} bytes; expected at most {MAX_READ:,}"
            )
        self._check(self._stream.tell() + size)
        self.last = self._stream.read(size)
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_SET:
            self._check(offset)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def finish(self) -> None:
        """Read to the end, where the checksum of the compression is compared."""
        while self._stream.read(CHUNK):
            self._check(self._stream.tell())

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()

    def _check(self, end: int) -> None:
        if end > MAX_BYTES:
            raise InputError(f"{self.path}: expected at most {MAX_BYTES:,} bytes, expanded")
