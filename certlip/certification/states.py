"""Equilibrium states on disk until all samples are done: what a certificate needs of every sample.

One file per equilibrium block: the number of states n (int64), then n float64 per sample, both
little-endian. Only `read` takes memory that grows with the number of samples.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from certlip.blocks import ConvEquilibrium, Equilibrium, Network, PaddedEquilibrium
from certlip.errors import InputError

_WORD = 8  # bytes of an int64 and of a float64


def state_blocks(network: Network) -> list[int]:
    """The numbers of the blocks whose states a certificate holds."""
    kinds = Equilibrium | ConvEquilibrium | PaddedEquilibrium
    return [k for k, block in enumerate(network.blocks) if isinstance(block, kinds)]


class StatesFiles:
    """The states of some blocks, appended batch by batch.

    Args:
        blocks: Their numbers.
        folder: Where `states<k>.f64` lie; without one, nameless temporary files.
        part: What follows `states<k>` in the names.

    Raises:
        InputError: a file cannot be opened or, later, written.
    """

    def __init__(self, blocks: Sequence[int], folder: Path | None, part: str = "") -> None:
        self._where = "states" if folder is None else str(folder / "states")
        names = {k: f"states{k}{part}.f64" for k in blocks}
        self._paths = {} if folder is None else {k: folder / names[k] for k in blocks}
        with self._writing():
            self._files: dict[int, IO[bytes]] = {k: _open(self._paths.get(k)) for k in blocks}

    @property
    def wanted(self) -> bool:
        """Whether there is a block to keep states of."""
        return bool(self._files)

    def append(self, states: Mapping[int, np.ndarray]) -> None:
        """Adds the states (batch, n) of every block, and returns when they are on disk."""
        with self._writing():
            for k, file in self._files.items():
                z = np.ascontiguousarray(states[k], dtype="<f8")
                if file.seek(0, os.SEEK_END) == 0:
                    file.write(np.array(z.shape[1], dtype="<i8").tobytes())
                file.write(z.tobytes())
                file.flush()
                os.fsync(file.fileno())

    def whole(self, most: int) -> int:
        """How many samples all files have whole, at most `most`."""
        return min([most, *(self._rows(file) for file in self._files.values())])

    def cut(self, samples: int) -> None:
        """Drops whatever follows the first `samples`."""
        for file in self._files.values():  # shrinking needs no room
            file.truncate(_WORD * (1 + samples * self._width(file)) if samples else 0)

    def read(self) -> dict[int, np.ndarray]:
        """The states (n samples, n states) by block number."""
        return {k: self._array(file) for k, file in self._files.items()}

    def rows(self, start: int, end: int) -> dict[int, np.ndarray]:
        """The states of the samples start … end − 1, counted in the order of `append`."""
        states = {}
        for k, file in self._files.items():
            width = self._width(file)
            file.seek(_WORD * (1 + start * width))
            z = np.frombuffer(file.read(_WORD * (end - start) * width), dtype="<f8")
            states[k] = z.reshape(-1, width)
        return states

    def close(self) -> None:
        """Lets go of the files, which stay."""
        for file in self._files.values():
            file.close()

    def remove(self) -> None:
        """They are in the certificate now."""
        self.close()
        for path in self._paths.values():
            path.unlink(missing_ok=True)

    def _array(self, file: IO[bytes]) -> np.ndarray:
        width = self._width(file)
        return np.frombuffer(file.read(), dtype="<f8").reshape(-1, width)

    def _rows(self, file: IO[bytes]) -> int:
        width, size = self._width(file), file.seek(0, os.SEEK_END)
        return (size // _WORD - 1) // width if width > 0 else 0

    def _width(self, file: IO[bytes]) -> int:
        """The number of states; the file is then read from its first state on."""
        file.seek(0)
        head = file.read(_WORD)
        return int(np.frombuffer(head, dtype="<i8")[0]) if len(head) == _WORD else 0

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            line = f"{self._where}: cannot be written ({error.strerror or error})"
            raise InputError(line) from None


def _open(path: Path | None) -> IO[bytes]:
    if path is None:
        return tempfile.TemporaryFile()
    return path.open("r+b" if path.exists() else "x+b")
