"""Progress of a training run, and the rule that a folder with a run in it is not overwritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from certlip.errors import InputError

from .options import check_writable
from .session import Session

if TYPE_CHECKING:
    from certlip.training.conduct import Position, Progress


class Watched(TypedDict):
    """The two callbacks of `certlip.training.Conduct`."""

    on_epoch: Callable[[Progress], None]
    on_step: Callable[[Position], None] | None


@contextmanager
def watch(session: Session, out: Path, resume: bool) -> Iterator[Watched]:
    """Callbacks that draw a bar over all steps on a terminal, and elsewhere say what was validated.

    Raises:
        InputError: `out` is no folder that can be written, or holds a run and --resume was not
            given.
    """
    check_writable("--out", out / "model.pt")
    if not resume and (out / "checkpoint.pt").exists():
        raise InputError(f"--out {out}: holds a run already; use --resume or another folder")
    bar = session.progress()
    bar.disable = bar.disable or session.json_output
    with bar:
        task = bar.add_task("training", total=1, note="")
        validated = [""]

        def on_epoch(progress: Progress) -> None:
            row = progress.metrics
            validated[0] = f", loss {row['loss']:.4f}"
            if row.get("proven"):
                validated[0] += f", natural {row['natural']:.4f}" + "".join(
                    f", {eps}: {share:.4f}" for eps, share in row["certified"].items()
                )
                if bar.disable:
                    note = validated[0].removeprefix(", ")
                    session.say(f"epoch {progress.epoch}/{progress.epochs}: {note}")

        def on_step(at: Position) -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed * at.batch_size:,.0f} images/s" if speed else "first steps"
            bar.update(
                task,
                description=f"epoch {at.epoch + 1}/{at.epochs}, steps",
                completed=at.epoch * at.steps + at.step,
                total=at.epochs * at.steps,
                note=rate + validated[0],
            )

        yield {"on_epoch": on_epoch, "on_step": None if bar.disable else on_step}
