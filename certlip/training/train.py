"""Trains a family on a dataset and writes the best model that could be proven."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from certlip.blocks import Network, save
from certlip.data import Dataset
from certlip.models import build
from certlip.training.loop import Progress, fit, history_entry
from certlip.training.recipe import Settings


def train(
    family: str,
    architecture: dict[str, int],
    data: Dataset,
    validation: Dataset,
    settings: Settings,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    on_epoch: Callable[[Progress], None] | None = None,
) -> Network:
    """Trains and writes `out/model.pt`, `out/metrics.jsonl` and, while it runs, a checkpoint.

    The model is `certlip.models.build(family, data.shape, data.classes, **architecture)`.

    Returns:
        The frozen network of the epoch with the best certified accuracy on the validation split.

    Raises:
        InputError: unknown family, an architecture that does not fit the data, an unusable folder.
        InconclusiveError: no epoch could be proven.
    """
    torch.manual_seed(settings.seed)
    model = build(family, data.shape, data.classes, **architecture)
    model = model.to(device=device, dtype=model.dtype)
    key: dict[str, Any] = {
        "step": "train",
        "family": family,
        "architecture": architecture,
        "shape": list(data.shape),
        "data": data.sha256(),
        "validation": validation.sha256(),
        "settings": settings.__dict__,
    }
    network, metrics = fit(
        model,
        model.freeze,
        data,
        validation,
        settings,
        out,
        key=key,
        resume=resume,
        score=certified_score,
        device=device,
        on_epoch=on_epoch,
    )
    facts = {"family": family, "architecture": architecture, "dataset": data.name}
    chosen = max((m for m in metrics if m.get("proven")), key=certified_score)
    network = network.with_history(
        history_entry("train", settings, **facts, epoch=chosen["epoch"], data_sha256=data.sha256())
    )
    save(network, out / "model.pt")
    return network


def certified_score(row: dict[str, Any]) -> float:
    """Natural plus certified accuracies on the validation split; the mean radius breaks ties."""
    return row["natural"] + sum(row["certified"].values()) + 1e-3 * row["radius"]
