"""The files of a dataset below one place: a folder, or a tar archive that is never extracted.

Names are relative and have `/` between their parts. Hidden files are left out.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from pathlib import Path

from certlip.errors import InputError

MAX_DEPTH = 5
"""Parts of a name at most; a link to a folder above itself ends here."""


class FileTree(ABC):
    """Reads files by name.

    Args:
        path: The folder or the archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all files that are not hidden, sorted.

        Raises:
            InputError: it cannot be read, or is not what it should be.
        """

    @abstractmethod
    def contents(self, names: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of each of the files, once, in any order.

        Raises:
            InputError: a file is missing, cannot be read, or has more than `most` bytes.
        """

    def missing(self, name: str) -> InputError:
        """The error for a file that is not there."""
        return InputError(f"{self.path}: {name!r} is missing")

    def too_large(self, name: str, size: int, most: int) -> InputError:
        """The error for a file that is larger than it may be."""
        return InputError(f"{self.path}: {name!r} has {size:,} bytes; expected at most {most:,}")


class FolderTree(FileTree):
    """The files of a folder; links are followed."""

    def names(self) -> list[str]:
        try:
            return sorted(self._below(""))
        except OSError as error:
            raise InputError(f"{error.filename}: {error.strerror}; expected a folder") from error

    def _below(self, prefix: str) -> Iterator[str]:
        if prefix.count("/") >= MAX_DEPTH:
            raise InputError(f"{self.path}: {prefix!r} nests deeper than {MAX_DEPTH - 1} folders")
        with os.scandir(self.path / prefix) as entries:
            for entry in entries:
                if hidden(entry.name):
                    continue
                if entry.is_dir():
                    yield from self._below(f"{prefix}{entry.name}/")
                else:
                    yield prefix + entry.name

    def contents(self, names: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
        for name in names:
            path = self.path / name
            if not path.is_file():  # nor a pipe, which would wait for ever
                raise self.missing(name)
            try:
                with path.open("rb") as file:
                    data = file.read(most + 1)
            except OSError as error:
                raise InputError(f"{path}: {error.strerror}; expected a readable file") from error
            if len(data) > most:
                raise self.too_large(name, path.stat().st_size, most)
            yield name, data


def hidden(name: str) -> bool:
    """Whether a part of a name marks what systems leave behind, not what users put there."""
    return name.startswith(".") or name == "__MACOSX"
