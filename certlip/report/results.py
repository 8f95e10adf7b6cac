"""`results.jsonl` while it grows: one line per sample, appended batch by batch.

Whoever is killed leaves whole batches and at most one that is not: `keep` finds what counts. Reading
goes through the file, so memory does not grow with the number of rows.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, overload

from certlip.errors import InputError
from certlip.report.base import Sample
from certlip.report.json_format import dumps

CHUNK = 2**16
"""Bytes read at a time."""


class ResultsFile(Sequence[Sample]):
    """The rows of a results file. An entry is found by reading the file up to it.

    Args:
        path: Opened if it exists, made if not; without one, a nameless temporary file.

    Raises:
        InputError: the file cannot be opened, or another process is writing it.
    """

    def __init__(self, path: Path | None) -> None:
        self._name = "results" if path is None else str(path)
        try:
            self._file = _open(path)
        except OSError as error:
            raise self._unwritable(error) from None
        self._only_writer()
        self._rows, self._end = 0, 0

    def keep(self, batch: int, most: int, valid: Callable[[int, Mapping[str, Any]], bool]) -> None:
        """Counts what is there: whole batches of valid lines; the first that is not ends it.

        Args:
            batch: Rows per batch; the last one may have fewer.
            most: Rows in all.
            valid: Whether a row is the one that belongs at an index.
        """
        self._rows = self._end = 0
        for first, _, end in self.batches(batch, most, valid):
            if first != self._rows:
                break
            self._rows, self._end = min(first + batch, most), end
        try:
            self._file.truncate(self._end)
        except OSError as error:
            raise self._unwritable(error) from None

    def batches(
        self, batch: int, most: int, valid: Callable[[int, Mapping[str, Any]], bool]
    ) -> Iterator[tuple[int, int, int]]:
        """First row, offset and end of every whole batch, in whatever order they lie there.

        Arguments as of `keep`; the first line that is not valid ends it.
        """
        first = start = count = 0
        for offset, line in self._lines(self._file.seek(0, os.SEEK_END)):
            if count == 0:
                first, start = _index(line), offset
                if first % batch or not 0 <= first < most:
                    return
            if not _is_line(line, first + count, valid):
                return
            count += 1
            if count == batch or first + count == most:
                yield first, start, offset + len(line) + 1
                count = 0

    def rows_between(self, start: int, end: int) -> list[Sample]:
        """The rows of a batch that `batches` found."""
        return [json.loads(line) for _, line in self._lines(end, start)]

    def append(self, rows: Iterable[Sample]) -> None:
        """Adds a batch, and returns when it is on disk.

        Raises:
            InputError: it cannot be written; what was there before still counts.
        """
        lines = [_line(row) for row in rows]
        self._write(self._end, b"".join(lines))
        self._rows, self._end = self._rows + len(lines), self._end + sum(map(len, lines))

    def change(self, rows: Mapping[int, Sample]) -> None:
        """Puts other rows in the place of some, in lines of the same length."""
        for i, (offset, line) in enumerate(self._lines(self._end)):
            if i in rows:
                new = _line(rows[i])
                if len(new) != len(line) + 1:
                    raise ValueError(f"row {i}: {len(new)} bytes instead of {len(line) + 1}")
                self._write(offset, new)

    def close(self) -> None:
        """Lets another process write."""
        self._file.close()

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[Sample]:
        return (json.loads(line) for _, line in self._lines(self._end))

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index}: there are {len(self)}")
        return next(itertools.islice(self, index % len(self), None))

    def _lines(self, end: int, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Offset and text of every whole line from `start` to `end`."""
        offset, rest = start, b""
        while offset + len(rest) < end:
            self._file.seek(offset + len(rest))
            chunk = self._file.read(min(CHUNK, end - offset - len(rest)))
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield offset, line
                offset += len(line) + 1

    def _write(self, offset: int, text: bytes) -> None:
        try:
            self._file.seek(offset)
            left = memoryview(text)
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from None

    def _only_writer(self) -> None:
        try:
            import fcntl
        except ImportError:  # no such locks on this system
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise InputError(f"{self._name}: another process is writing it") from None
        except OSError:  # a file system without locks
            return

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self._name}: cannot be written ({error.strerror or error})")


def _open(path: Path | None) -> IO[bytes]:
    if path is None:
        return tempfile.TemporaryFile(buffering=0)
    return path.open("r+b" if path.exists() else "x+b", buffering=0)


def _line(row: Sample) -> bytes:
    return (dumps(row) + "\n").encode("utf-8")


def _index(line: bytes) -> int:
    """The index that a line states, −1 if none."""
    try:
        index = json.loads(line)["index"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return -1
    return index if isinstance(index, int) else -1


def _is_line(line: bytes, index: int, valid: Callable[[int, Mapping[str, Any]], bool]) -> bool:
    """Whether a line is, byte by byte, what `append` would write for a valid row."""
    try:
        row = json.loads(line)
        return isinstance(row, dict) and _line(row) == line + b"\n" and valid(index, row)
    except (ValueError, RecursionError):  # damaged, whatever way
        return False
