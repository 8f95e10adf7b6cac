"""Certifies with several processes: each takes the next batch and writes it into a part of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .parts import Part, Parts, part_numbers
from .ranks import Several
from .session import Session
from .streaming import Stream, certify_batch, missing

if TYPE_CHECKING:
    from certlip.certification import Certifier
    from certlip.data import Dataset


@dataclass(frozen=True)
class Share:
    """What a process needs for its share of the batches.

    Raises, in all that it does:
        InputError: a file cannot be written; what was appended before still counts.
        PeerError: another process failed.
    """

    session: Session
    several: Several
    certifier: Certifier
    data: Dataset
    folder: Path
    blocks: Sequence[int]

    def lead(self, stream: Stream) -> None:
        """On rank 0: certifies what is missing with the others; the stream has all parts then."""
        number = max(part_numbers(self.folder), default=-1) + 1
        todo = self.several.from_first((missing(stream, self.data), number))
        stream.parts.close()
        times = self._certify(*todo)
        stream.seconds = max(seconds for seconds, _ in times)
        stream.timed = sum(timed for _, timed in times)
        stream.parts = Parts(self.data, self.folder, self.blocks)

    def follow(self) -> None:
        """On the other ranks: their share of it."""
        self._certify(*self.several.from_first(None))

    def _certify(self, todo: Sequence[range], number: int) -> list[tuple[float, int]]:
        """Takes batches until there are none; on rank 0 the seconds and samples of all ranks."""
        from certlip.certification import sample_rows

        part = Part(self.folder, number + self.several.rank, self.blocks)
        keep, seconds, timed = bool(self.blocks), 0.0, 0
        try:
            with self.session.progress() as bar:
                task = bar.add_task("certifying", total=len(todo), note="batches")
                while (i := self.several.next("batch")) < len(todo):
                    self.several.check()
                    began = time.perf_counter()
                    radii = certify_batch(self.certifier, self.data, todo[i], keep_states=keep)
                    seconds, timed = seconds + time.perf_counter() - began, timed + len(radii)
                    part.append(sample_rows(radii, todo[i].start), radii.states)
                    bar.update(task, completed=i + 1)
        finally:
            part.close()
        return self.several.to_first((seconds, timed))
