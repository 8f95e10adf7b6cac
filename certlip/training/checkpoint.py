"""Checkpoints of a run: written atomically, read with `weights_only=True`, resumed bit for bit.

The order of the samples is a function of (seed, epoch), so weights, optimizer and epoch are the
whole state of a run; a resumed run on the same machine and number of threads ends with the same
weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from certlip.errors import InputError
from certlip.files import atomic

NAME = "checkpoint.pt"


@dataclass
class RunState:
    """Where a run is: epochs done, the best validation score so far, and the rows of metrics."""

    epoch: int
    best: float
    metrics: list[dict[str, Any]]


def save_checkpoint(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: RunState,
    key: dict[str, Any],
) -> None:
    """Writes the checkpoint of a run that `key` identifies (settings, data, architecture)."""
    content = {
        "key": json.dumps(key, sort_keys=True),
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": state.epoch,
        "best": state.best,
        "metrics": json.dumps(state.metrics),
    }
    atomic(folder / NAME, lambda path: torch.save(content, path))


def load_checkpoint(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, key: dict[str, Any]
) -> RunState | None:
    """Restores module and optimizer and returns the state; None if there is no checkpoint.

    Raises:
        InputError: the checkpoint is unreadable or belongs to other settings or data.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        stored = json.loads(content["key"])
        own = json.loads(json.dumps(key))
        if stored != own:
            changed = sorted(k for k in {*stored, *own} if stored.get(k) != own.get(k))
            raise InputError(
                f"{path}: belongs to a run with another {', '.join(changed)}; "
                "use the same options or another --out"
            )
        module.load_state_dict(content["module"])
        optimizer.load_state_dict(content["optimizer"])
        return RunState(content["epoch"], content["best"], json.loads(content["metrics"]))
    except InputError:
        raise
    except Exception as error:  # the reader raises anything on damaged bytes
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: not a checkpoint of certlip ({line})") from None
