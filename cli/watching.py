"""Progress of a training run, and the rule that a folder with a run in it is not overwritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from certlip.errors import InputError

from .options import check_writable
from .session import Session

if TYPE_CHECKING:
    from certlip.training.loop import Progress


@contextmanager
def watch(session: Session, out: Path, resume: bool) -> Iterator[Callable[[Progress], None]]:
    """A callback that draws a bar on a terminal and prints validation lines elsewhere.

    Raises:
        InputError: `out` is no folder that can be written, or holds a run and --resume was not
            given.
    """
    check_writable("--out", out / "model.pt")
    if not resume and (out / "checkpoint.pt").exists():
        raise InputError(f"--out {out}: holds a run already; use --resume or another folder")
    with session.progress() as bar:
        task = bar.add_task("training", total=None, note="")

        def on_epoch(progress: Progress) -> None:
            row = progress.metrics
            note = f"loss {row['loss']:.4f}"
            if row.get("proven"):
                note += f", natural {row['natural']:.4f}" + "".join(
                    f", {eps}: {share:.4f}" for eps, share in row["certified"].items()
                )
                if bar.disable:
                    session.say(f"epoch {progress.epoch}/{progress.epochs}: {note}")
            bar.update(task, completed=progress.epoch, total=progress.epochs, note=note)

        yield on_epoch
