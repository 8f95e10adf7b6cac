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
    from rich.progress import Progress as Bar

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
        seen = _Seen(session, bar)
        yield {"on_epoch": seen.epoch, "on_step": None if bar.disable else seen.step}


class _Seen:
    """What people see of a run: a bar over all of its steps, or a line per validation."""

    def __init__(self, session: Session, bar: Bar) -> None:
        self.session, self.bar = session, bar
        self.task = bar.add_task("training", total=1, note="")
        self.last = ""

    def epoch(self, progress: Progress) -> None:
        """Loss and accuracies of an epoch."""
        row = progress.metrics
        self.last = f"loss {row['loss']:.4f}"
        if row.get("proven"):
            self.last += f", natural {row['natural']:.4f}" + "".join(
                f", {eps}: {share:.4f}" for eps, share in row["certified"].items()
            )
            if self.bar.disable:
                self.session.say(f"epoch {progress.epoch}/{progress.epochs}: {self.last}")

    def step(self, at: Position) -> None:
        """Where the run is, and how fast."""
        speed = self.bar.tasks[0].speed
        rate = f"{speed * at.batch_size:,.0f} images/s" if speed else "first steps"
        self.bar.update(
            self.task,
            description=f"epoch {at.epoch + 1}/{at.epochs}, steps",
            completed=at.epoch * at.steps + at.step,
            total=at.epochs * at.steps,
            note=f"{rate}, {self.last}" if self.last else rate,
        )
