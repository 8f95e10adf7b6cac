"""Certifies with several processes: each takes the next batch and writes it into a part of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .parts import Part, Parts, part_numbers
from .ranks import Several
from .session import Session
from .streaming import Stream, certify_batch, missing

if TYPE_CHECKING:
    from certlip.certify import Certifier
    from certlip.data import Dataset


def lead(
    session: Session,
    several: Several,
    certifier: Certifier,
    data: Dataset,
    stream: Stream,
    folder: Path,
    blocks: Sequence[int],
) -> None:
    """On rank 0: certifies what is missing together with the others; the stream has all parts then.

    Raises:
        InputError: a file cannot be written; what was appended before still counts.
        PeerError: another process failed.
    """
    number = max(part_numbers(folder), default=-1) + 1
    todo = several.from_first((missing(stream, data), number))
    stream.parts.close()
    times = _share(session, several, certifier, data, folder, blocks, *todo)
    stream.seconds = max(seconds for seconds, _ in times)
    stream.timed = sum(timed for _, timed in times)
    stream.parts = Parts(data, folder, blocks)


def follow(
    session: Session,
    several: Several,
    certifier: Certifier,
    data: Dataset,
    folder: Path,
    blocks: Sequence[int],
) -> None:
    """On the other ranks: their share of it.

    Raises:
        As `lead`.
    """
    _share(session, several, certifier, data, folder, blocks, *several.from_first(None))


def _share(
    session: Session,
    several: Several,
    certifier: Certifier,
    data: Dataset,
    folder: Path,
    blocks: Sequence[int],
    todo: Sequence[range],
    number: int,
) -> list[tuple[float, int]]:
    """Takes batches until there are none; on rank 0 the seconds and samples of all ranks."""
    from certlip.certify import sample_rows

    part = Part(folder, number + several.rank, blocks)
    seconds, timed = 0.0, 0
    try:
        with session.progress() as bar:
            task = bar.add_task("certifying", total=len(todo), note="batches")
            while (i := several.next("batch")) < len(todo):
                several.check()
                began = time.perf_counter()
                radii = certify_batch(certifier, data, todo[i], keep_states=bool(blocks))
                seconds, timed = seconds + time.perf_counter() - began, timed + len(radii)
                part.append(sample_rows(radii, todo[i].start), radii.states)
                bar.update(task, completed=i + 1)
    finally:
        part.close()
    return several.to_first((seconds, timed))
