"""The training loop: epochs of Adam steps, validation, the best proven model, checkpoints.

`best` is chosen only among models whose proof passes on the frozen numbers; whatever the
parametrization promises, a model that cannot be proven is never kept.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from certlip._version import __version__
from certlip.blocks import Network, load, save
from certlip.certify import certify, parse_eps
from certlip.data import Dataset
from certlip.errors import CertlipError, InconclusiveError
from certlip.files import atomic
from certlip.lmi import prove
from certlip.training.checkpoint import RunState, load_checkpoint, save_checkpoint
from certlip.training.losses import margin_cross_entropy
from certlip.training.recipe import Settings
from certlip.training.schedule import triangular

BEST = "best.pt"
EPS = parse_eps("36/255,72/255,108/255,1")


@dataclass(frozen=True)
class Progress:
    """What is told after every epoch."""

    epoch: int
    epochs: int
    metrics: dict[str, Any]


def fit(
    module: nn.Module,
    freeze: Callable[[], Network],
    data: Dataset,
    validation: Dataset,
    settings: Settings,
    folder: Path,
    *,
    key: dict[str, Any],
    resume: bool = False,
    evaluate_every: int = 10,
    score: Callable[[dict[str, Any]], float],
    start: tuple[Network, float] | None = None,
    device: str = "cpu",
    on_epoch: Callable[[Progress], None] | None = None,
) -> tuple[Network, list[dict[str, Any]]]:
    """Trains `module` and returns the best proven frozen network and the metrics of every epoch.

    Args:
        module: Maps raw inputs (batch, d) to logits; its parameters decide the dtype.
        freeze: Gives the frozen network of the module's present parameters.
        score: Of the validation metrics of an epoch; the largest proven one wins, the first of equals.
        start: A proven network to begin with as the best, and its score.
        key: Identifies the run in its checkpoints.

    Raises:
        InconclusiveError: the loss is not finite, or no epoch had a model that could be proven.
    """
    parameter = next(module.parameters())
    # copies: the arrays of a dataset may be read-only
    x = torch.tensor(data.x, dtype=parameter.dtype, device=device)
    label = torch.tensor(data.label, device=device)
    optimizer = torch.optim.Adam(module.parameters(), lr=settings.lr, betas=settings.betas)
    state = load_checkpoint(folder, module, optimizer, key) if resume else None
    best: Network | None = None
    if state is None:
        best, score_of_best = start if start is not None else (None, -math.inf)
        state = RunState(0, score_of_best, [])
        if best is not None:
            save(best, folder / BEST)
    else:
        _write_metrics(folder, state.metrics)  # the run may have ended just before it did
        if state.best > -math.inf:
            best = load(folder / BEST)
    for epoch in range(state.epoch, settings.epochs):
        began = time.perf_counter()
        loss = _epoch(module, optimizer, x, label, epoch, settings)
        if not math.isfinite(loss):
            raise InconclusiveError(
                f"epoch {epoch + 1}: the loss is {loss}; a smaller --lr keeps it finite"
            )
        row: dict[str, Any] = {"epoch": epoch + 1, "loss": loss}
        if (epoch + 1) % evaluate_every == 0 or epoch + 1 == settings.epochs:
            network = freeze()
            row |= validated(network, validation)
            value = score(row) if row["proven"] else -math.inf
            if value > state.best:
                state.best, best = value, network
                save(network, folder / BEST)
        row["seconds"] = round(time.perf_counter() - began, 3)
        state.metrics.append(row)
        state.epoch = epoch + 1
        last = epoch + 1 == settings.epochs
        if last or (epoch + 1) % settings.checkpoint_every == 0:
            save_checkpoint(folder, module, optimizer, state, key)
            _write_metrics(folder, state.metrics)
        if on_epoch is not None:
            on_epoch(Progress(epoch + 1, settings.epochs, row))
    if best is None:
        raise InconclusiveError("no epoch gave a model whose Lipschitz bound could be proven")
    return best, state.metrics


def _epoch(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    label: Tensor,
    epoch: int,
    settings: Settings,
) -> float:
    """One pass over the data; the order depends on the seed and the epoch alone."""
    n, size = len(label), settings.batch_size
    generator = torch.Generator().manual_seed((settings.seed * 1_000_003 + epoch) % 2**63)
    order = torch.randperm(n, generator=generator).to(x.device)
    steps = math.ceil(n / size)
    total = 0.0
    for step in range(steps):
        share = (epoch * steps + step + 1) / (settings.epochs * steps)
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * triangular(share)
        rows = order[step * size : (step + 1) * size]
        logits = module(x[rows])
        loss = margin_cross_entropy(logits, label[rows], settings.offset, settings.temperature)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if settings.clip:
            nn.utils.clip_grad_norm_(module.parameters(), settings.clip)
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / n


def validated(network: Network, validation: Dataset) -> dict[str, Any]:
    """Natural and certified accuracy on the validation split, and whether the proof passed."""
    try:
        proof = prove(network)
    except CertlipError as error:
        return {"proven": False, "reason": str(error)}
    radii = certify(network, proof, validation.x, validation.label)
    n = len(radii)
    return {
        "proven": True,
        "lipschitz_upper": str(proof.lip),
        "natural": radii.natural_correct() / n,
        "certified": {e.text: int(radii.certified_at(e).sum()) / n for e in EPS},
        "radius": float(radii.radius_lower.mean()),
    }


def _write_metrics(folder: Path, metrics: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in metrics)
    atomic(folder / "metrics.jsonl", lambda path: path.write_text(text, "utf-8"))


def history_entry(step: str, settings: Settings, **facts: Any) -> dict[str, Any]:
    """A line of a model's history: what was done, with which settings."""
    return {"step": step, "certlip": __version__, **facts, "settings": asdict(settings)}
