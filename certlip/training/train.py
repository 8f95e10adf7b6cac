"""Trains a family on a dataset and writes the best model that could be proven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from certlip.blocks import Network, save
from certlip.data import Dataset
from certlip.models import build
from certlip.training.conduct import Conduct
from certlip.training.loop import Job, fit, history_entry
from certlip.training.settings import Settings
from certlip.training.validation import certified_score


def train(
    family: str,
    architecture: dict[str, Any],
    data: Dataset,
    validation: Dataset,
    settings: Settings,
    out: Path,
    **conduct: Any,
) -> Network:
    """Trains and writes `out/model.pt`, `out/metrics.jsonl`, `out/metrics.csv` and a checkpoint.

    The model is `certlip.models.build(family, data.shape, data.classes, **architecture)`.

    Args:
        conduct: The fields of `certlip.training.Conduct`: `resume`, `device`, `minutes`, `on_epoch`, ….

    Returns:
        The frozen network of the epoch with the best certified accuracy on the validation split.

    Raises:
        InputError: unknown family, an architecture that does not fit the data, an unusable folder.
        InconclusiveError: no epoch could be proven, or the time is over.
    """
    how = Conduct(**conduct)
    torch.manual_seed(settings.seed)
    model = build(family, data.shape, data.classes, **architecture)
    model = model.to(device=how.device, dtype=model.dtype)
    key: dict[str, Any] = {
        "step": "train",
        "family": family,
        "architecture": architecture,
        "shape": list(data.shape),
        "data": data.sha256(),
        "validation": validation.sha256(),
        "settings": settings.table(),
    }
    job = Job(model, model.freeze, data, validation, settings, out, certified_score, key)
    network, metrics = fit(job, how)
    facts = {"family": family, "architecture": architecture, "dataset": data.name}
    chosen = max((m for m in metrics if m.get("proven")), key=certified_score)
    network = network.with_history(
        history_entry("train", settings, **facts, epoch=chosen["epoch"], data_sha256=data.sha256())
    )
    if how.group.first:
        save(network, out / "model.pt")
    return network
