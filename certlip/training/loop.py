"""The training loop: epochs of steps, validation, the best proven model, checkpoints.

`best` is chosen only among models whose proof passes on the frozen numbers; whatever the
parametrization promises, a model that cannot be proven is never kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from certlip._version import __version__
from certlip.blocks import Network, load, save
from certlip.data import Dataset
from certlip.errors import InconclusiveError
from certlip.training.batches import Batches
from certlip.training.checkpoint import RunState, load_checkpoint, save_checkpoint
from certlip.training.clock import Clock
from certlip.training.conduct import Conduct, Position, Progress
from certlip.training.metrics import write_metrics
from certlip.training.settings import Settings
from certlip.training.stepper import Stepper
from certlip.training.validation import validated

BEST = "best.pt"


@dataclass(frozen=True)
class Job:
    """What is trained.

    Args:
        module: Maps raw inputs (batch, d) to logits; its parameters decide the dtype.
        freeze: Gives the frozen network of the module's present parameters.
        score: Of the validation metrics of an epoch; the largest proven one wins, the first of equals.
        key: Identifies the run in its checkpoints.
        start: A proven network to begin with as the best, and its score.
        penalty: What is added to the loss, a function of the weights.
    """

    module: nn.Module
    freeze: Callable[[], Network]
    data: Dataset
    validation: Dataset
    settings: Settings
    folder: Path
    score: Callable[[dict[str, Any]], float]
    key: dict[str, Any]
    start: tuple[Network, float] | None = None
    penalty: Callable[[], Tensor] | None = None


def fit(job: Job, conduct: Conduct) -> tuple[Network, list[dict[str, Any]]]:
    """Trains and returns the best proven frozen network and the metrics of every epoch.

    Raises:
        InconclusiveError: the loss is not finite, no epoch had a model that could be proven, or the time
            is over (`TimeLimitError`, with everything saved).
        InputError: the folder cannot be written, or holds the checkpoint of another run.
        InputError, UnsupportedError: as `Stepper`.
    """
    s, group = job.settings, conduct.group
    dtype = next(job.module.parameters()).dtype
    batches = Batches(job.data, s, dtype, conduct.device, conduct.resident)
    stepper = Stepper(job.module, batches, s, group, job.penalty, compiled=conduct.compiled)
    state = load_checkpoint(job.folder, stepper, job.key, group) if conduct.resume else None
    best = None
    if state is None:
        state = RunState()
        if job.start is not None:
            best, state.best = job.start
            if group.first:
                save(best, job.folder / BEST)
    elif group.first:
        write_metrics(job.folder, state.metrics)  # the run may have ended just before it did
        best = load(job.folder / BEST) if state.best > -math.inf else None
    clock = Clock(conduct.minutes)
    while state.epoch < s.epochs:
        began = time.perf_counter()
        loss = _epoch(job, stepper, state, clock, conduct.on_step)
        row: dict[str, Any] = {"epoch": state.epoch + 1, "loss": loss}
        saves = state.epoch + 1 == s.epochs or (state.epoch + 1) % s.checkpoint_every == 0
        if group.first and (saves or (state.epoch + 1) % s.validate_every == 0):
            best = _validate(job, stepper, state, row) or best
        row["seconds"] = round(time.perf_counter() - began, 3)
        state.metrics.append(row)
        state.epoch, state.step, state.loss = state.epoch + 1, 0, 0.0
        if group.first and saves:
            save_checkpoint(job.folder, stepper, state, job.key)
            write_metrics(job.folder, state.metrics)
        if conduct.on_epoch is not None:
            conduct.on_epoch(Progress(state.epoch, s.epochs, row))
    best, metrics = group.from_first((best, state.metrics))
    if best is None:
        raise InconclusiveError("no epoch gave a model whose Lipschitz bound could be proven")
    return best, metrics


def _epoch(
    job: Job,
    stepper: Stepper,
    state: RunState,
    clock: Clock,
    on_step: Callable[[Position], None] | None,
) -> float:
    """The rest of an epoch; returns the mean loss of all of it."""
    batches, s = stepper.batches, job.settings
    total = torch.tensor(state.loss, dtype=torch.float64, device=batches.device)
    while state.step < batches.steps:
        loss, over = stepper.step(state.epoch, state.step, clock.over())
        total += loss.double() * batches.size(state.step)
        state.step += 1
        if on_step is not None:
            on_step(Position(state.epoch, s.epochs, state.step, batches.steps, s.batch_size))
        if over or clock.save_is_due():
            state.loss = _finite(state, float(total))
            if stepper.group.first:
                save_checkpoint(job.folder, stepper, state, job.key)
                write_metrics(job.folder, state.metrics)
            clock.saved()
        if over:
            raise clock.error(state.epoch, state.step, s.epochs, batches.steps)
    return _finite(state, float(total)) / len(job.data)


def _finite(state: RunState, loss: float) -> float:
    if not math.isfinite(loss):
        raise InconclusiveError(
            f"epoch {state.epoch + 1}: the loss is {loss}; a smaller --lr keeps it finite"
        )
    return loss


def _validate(job: Job, stepper: Stepper, state: RunState, row: dict[str, Any]) -> Network | None:
    """Adds what validation measured to the row; returns and keeps the network if it is the best."""
    with stepper.average.in_place():
        network = job.freeze()
    row |= validated(network, job.validation, job.settings.radii(), job.settings.norm)
    value = job.score(row) if row["proven"] else -math.inf
    if value <= state.best:
        return None
    state.best = value
    save(network, job.folder / BEST)
    return network


def history_entry(step: str, settings: Settings, **facts: Any) -> dict[str, Any]:
    """A line of a model's history: what was done, with which settings."""
    return {"step": step, "certlip": __version__, **facts, "settings": settings.table()}
