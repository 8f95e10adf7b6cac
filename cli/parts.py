"""Batches that several processes certified, each into a part of its own, and the way to put them in order.

A part is `results.part<i>.jsonl` with whole batches in any order, and `states<k>.part<i>.f64` with
their states in the same order. A part that was begun by a run that ended is never written again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .run_folder import PARTS

if TYPE_CHECKING:
    import numpy as np

    from certlip.certification import StatesFiles
    from certlip.data import Dataset
    from certlip.report import ResultsFile


class Part:
    """The files of one part, made if they are not there.

    Raises:
        InputError: they cannot be opened, or another process is writing them.
    """

    def __init__(self, folder: Path, number: int, blocks: Sequence[int]) -> None:
        from certlip.certification import StatesFiles
        from certlip.report import ResultsFile

        self._path = folder / f"results.part{number}.jsonl"
        self.rows: ResultsFile = ResultsFile(self._path)
        self.states: StatesFiles = StatesFiles(blocks, folder, f".part{number}")

    def append(self, rows: list[dict[str, Any]], states: dict[int, np.ndarray]) -> None:
        """Adds a batch, and returns when it is on disk."""
        self.states.append(states)  # first, so that no row is without its states
        self.rows.append(rows)

    def batches(self, data: Dataset) -> Iterator[tuple[int, int, int, int]]:
        """Of every whole batch: its first row, offset and end in the rows, and place in the states."""
        from certlip.certification import is_row
        from certlip.certification.enclosure.network import ROWS

        n, place = len(data), 0
        whole = self.states.whole(n)
        of_data = self.rows.batches(ROWS, n, lambda i, row: is_row(row, i, int(data.label[i])))
        for first, start, end in of_data:
            last = place + min(ROWS, n - first)
            if last > whole:
                return
            yield first, start, end, place
            place = last

    def close(self) -> None:
        """Lets go of the files, which stay."""
        self.rows.close()
        self.states.close()

    def remove(self) -> None:
        """Their batches are in the results now."""
        self.rows.close()
        self._path.unlink(missing_ok=True)
        self.states.remove()


class Parts:
    """All batches in the parts of a folder; one entry in memory for each.

    Args:
        folder: Without one there are none.
        blocks: The blocks whose states are kept.
    """

    def __init__(self, data: Dataset, folder: Path | None, blocks: Sequence[int]) -> None:
        found = [] if folder is None else [(folder, i) for i in part_numbers(folder)]
        self._n = len(data)
        self._parts = [Part(*place, blocks) for place in found]
        self._places = {
            first: (part, *place) for part in self._parts for first, *place in part.batches(data)
        }

    def __contains__(self, first: int) -> bool:
        return first in self._places

    def batch(self, first: int) -> tuple[list[Any], dict[int, np.ndarray]]:
        """The rows and states of the batch that begins with a row."""
        part, start, end, place = self._places[first]
        rows = part.rows.rows_between(start, end)
        return rows, part.states.rows(place, place + len(rows))

    def close(self) -> None:
        for part in self._parts:
            part.close()

    def remove(self) -> None:
        """All is in the results now."""
        for part in self._parts:
            part.remove()


def part_numbers(folder: Path) -> list[int]:
    """The numbers of the parts of a folder, ascending."""
    names = (re.fullmatch(r"results\.part(\d+)\.jsonl", p.name) for p in folder.glob(PARTS))
    return sorted(int(name[1]) for name in names if name)
