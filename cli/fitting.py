"""What `train` and `finetune` share: how a run is conducted, and its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from certlip.errors import InconclusiveError, InputError

from .options import read_data
from .ranks import ranks
from .session import Session
from .watching import watch

if TYPE_CHECKING:
    from certlip.blocks import Block, Network
    from certlip.data import Dataset
    from certlip.reparam import Reparametrized
    from certlip.training import Settings

RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="A named set of settings, or a file of one (.toml).")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the data.")]
BatchSize = Annotated[int | None, typer.Option(help="Samples per step, of all processes.")]
LearningRate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")]
MaxMinutes = Annotated[
    float | None, typer.Option(help="Save and stop after this time (exit code 3).")
]


@dataclass
class Run:
    """One run of a command, which may train twice: an origin, and what begins with it.

    Args:
        compiled: Whether what is trained from random weights is compiled.
    """

    session: Session
    resume: bool
    minutes: float | None
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.minutes is not None and not 0.0 < self.minutes < float("inf"):
            raise InputError(f"--max-minutes {self.minutes}: expected a number > 0")
        self._began = time.monotonic()

    @contextmanager
    def conduct(self, out: Path, compiled: bool = False) -> Iterator[dict[str, Any]]:
        """The fields of `Conduct` for a training into that folder.

        Raises:
            PeerError: what another process failed of, rather than what followed from it here.
        """
        minutes = self.minutes
        if minutes is not None:
            minutes = max(minutes - (time.monotonic() - self._began) / 60.0, 1e-9)
        with watch(self.session, out, self.resume) as callbacks:
            try:
                yield {
                    "resume": self.resume,
                    "device": self.session.device,
                    "minutes": minutes,
                    "compiled": compiled,
                    **callbacks,
                }
            except InconclusiveError:
                ranks().check()
                raise


def read_splits(
    name: str, data_dir: Path | None, split: str, limit: int | None
) -> tuple[Dataset, Dataset]:
    """What is trained on and what is validated on."""
    train, validation = (read_data(name, data_dir, s, limit) for s in (split, "validation"))
    return train, validation


def tune(
    run: Run, network: Network, data: Dataset, validation: Dataset, settings: Settings, out: Path
) -> Network:
    """Fine-tunes as LBENs and says what is trained and what came of it."""
    from certlip.training import finetune

    session = run.session
    with run.conduct(out) as conduct:
        tuned = finetune(
            network,
            data,
            validation,
            settings,
            out,
            on_parts=lambda parts: session.say(*_what_is_trained(parts)),
            **conduct,
        )
    done = tuned.history[-1]
    same = "no epoch was better and nowhere worse on the validation split, kept the origin"
    session.say(f"wrote {out / 'model.pt'}{'' if done['epochs_not_worse'] else f': {same}'}")
    lost = ", ".join(f"{s:.4f} at {eps}" for eps, s in done["certified_lost_at_start"].items())
    if lost and not done["epochs_not_worse"]:
        session.say(f"rebuilt as it is, the origin loses certified accuracy there: {lost}")
    return tuned


def _what_is_trained(parts: Reparametrized) -> list[str]:
    """A line for every LBEN, and one for the blocks between them."""
    from certlip.equilibrium import LBEN

    lines, fixed = [], Counter()
    for part in parts.parts:
        if isinstance(part, LBEN):
            count = sum(p.numel() for p in part.parameters())
            lines.append(f"trained: an LBEN, {part.freeze().describe()}, {count:,} parameters")
        else:
            fixed[_kind(part)] += 1
    if fixed:
        words = [kind if n == 1 else f"{n} × {kind}" for kind, n in fixed.items()]
        lines.append(f"stays as it is: {', '.join(words)}")
    return lines


def _kind(block: Block) -> str:
    padding = getattr(block, "padding", None)
    return block.kind if padding is None else f"{block.kind} with {padding} padding"
