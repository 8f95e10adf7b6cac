"""Certifies batch after batch into a file, or goes on where an earlier run was interrupted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .parts import Parts
from .ranks import ranks
from .run_folder import DONE, MANIFEST, RESULTS, begin
from .session import Session

if TYPE_CHECKING:
    from certlip.certification import Certifier, Radii, StatesFiles
    from certlip.data import Dataset
    from certlip.report import ResultsFile


@dataclass
class Stream:
    """The rows of all samples so far, the states of some blocks, and how long `timed` of them took.

    `parts` has batches that several processes left, for the rows that come next.
    """

    rows: ResultsFile
    states: StatesFiles
    parts: Parts
    seconds: float = 0.0
    timed: int = 0


@contextmanager
def stream_to(
    session: Session,
    data: Dataset,
    folder: Path | None,
    own: dict[str, Any],
    *,
    resume: bool,
    blocks: Sequence[int] = (),
) -> Iterator[Stream]:
    """The files of a run, empty, or with the batches that an earlier run finished.

    The rows stay open when all went well, for whoever shows them.

    Args:
        folder: Where they lie; without one, in nameless temporary files.
        own: The manifest of this run, which an earlier one has if its rows are kept.
        blocks: The blocks whose states are kept until the end.

    Raises:
        InputError: the files cannot be written, or another process writes them.
    """
    from certlip.certification import StatesFiles
    from certlip.report import ResultsFile

    begun = folder is not None and resume and (folder / MANIFEST).exists()
    if folder is not None and not begun:
        begin(folder, own)
    rows, stream = ResultsFile(None if folder is None else folder / RESULTS), None
    try:
        states = StatesFiles(blocks, folder)
        stream = Stream(rows, states, Parts(data, folder, blocks))
        if folder is not None and begun:
            _keep_batches(stream, data, folder)
            done = len(data) - sum(map(len, missing(stream, data)))
            session.say(f"{done} of {len(data)} samples are certified already")
        yield stream
        states.remove()
    except BaseException as error:
        rows.close()
        if stream is not None:
            stream.parts.close()
        if folder is not None and isinstance(error, KeyboardInterrupt):
            more = "" if ranks().world == 1 else " and those in parts"
            done = f"{len(rows)}{more} of {len(data)} samples are certified in {folder}"
            session.say(f"{done}; --resume goes on from there")
        raise


def missing(stream: Stream, data: Dataset) -> list[range]:
    """The batches that are neither in the rows nor in a part."""
    rest = batches(data, len(stream.rows))
    return [batch for batch in rest if batch.start not in stream.parts]


def batches(data: Dataset, first: int = 0) -> Iterator[range]:
    """The samples of every batch, from the one that begins with `first` on."""
    from certlip.certification.enclosure.network import ROWS

    n = len(data)
    return (range(start, min(start + ROWS, n)) for start in range(first, n, ROWS))


def certify_rest(session: Session, certifier: Certifier, data: Dataset, stream: Stream) -> None:
    """Appends the rows that are missing; each batch is on disk before the next one starts.

    A batch that lies in a part is taken from there.

    Raises:
        InputError: a file cannot be written; what was appended before still counts.
    """
    from certlip.certification import sample_rows

    first = len(stream.rows)
    with session.progress() as bar:
        task = bar.add_task("certifying", total=len(data), completed=first, note="")
        for batch in batches(data, first):
            if batch.start in stream.parts:
                rows, states = stream.parts.batch(batch.start)
            else:
                began = time.perf_counter()
                radii = certify_batch(certifier, data, batch, keep_states=stream.states.wanted)
                stream.seconds += time.perf_counter() - began
                stream.timed += len(radii)
                rows, states = sample_rows(radii, batch.start), radii.states
            stream.states.append(states)  # first, so that no row is without its states
            stream.rows.append(rows)
            bar.update(task, completed=batch.stop)
    stream.parts.remove()


def certify_batch(certifier: Certifier, data: Dataset, batch: range, *, keep_states: bool) -> Radii:
    """The radii of one batch."""
    rows = slice(batch.start, batch.stop)
    return certifier(data.rows(rows), data.label[rows], keep_states=keep_states)


def _keep_batches(stream: Stream, data: Dataset, folder: Path) -> None:
    """Keeps the batches whose rows and states are whole, so that a row keeps its place in a batch."""
    from certlip.certification import is_row
    from certlip.certification.enclosure.network import ROWS

    n = len(data)
    most = stream.states.whole(n)
    most -= most % ROWS if most < n else 0
    stream.rows.keep(ROWS, most, lambda i, row: is_row(row, i, int(data.label[i])))
    stream.states.cut(len(stream.rows))
    if len(stream.rows) < n:
        (folder / DONE).unlink(missing_ok=True)
