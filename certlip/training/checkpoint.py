"""Checkpoints of a run: written atomically, read with `weights_only=True`, resumed bit for bit.

The order of the samples and their random changes are a function of (seed, epoch, step), so weights,
optimizer, average, torch's random numbers and the position are the whole state of a run: resumed on the
same machine with the same number of threads, it ends with the same weights.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from certlip.blocks.torch_file import load_plain
from certlip.errors import InputError
from certlip.files import atomic
from certlip.training.group import Group
from certlip.training.settings import Settings
from certlip.training.stepper import Stepper

NAME = "checkpoint.pt"
FILES = (NAME, "best.pt", "model.pt", "reparametrized.pt", "metrics.jsonl", "metrics.csv")
"""What a run writes into its folder."""


@dataclass
class RunState:
    """Where a run is.

    Args:
        epoch: Epochs done.
        step: Steps done of the next.
        loss: Sum of their losses, each times its samples.
        best: The best validation score so far.
        metrics: A row per epoch.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    best: float = float("-inf")
    metrics: list[dict[str, Any]] = field(default_factory=list)


def save_checkpoint(folder: Path, stepper: Stepper, state: RunState, key: dict[str, Any]) -> None:
    """Writes the checkpoint of a run that `key` identifies (settings, data, architecture).

    Raises:
        InputError: it cannot be written; the one before it is unchanged.
    """
    content = {
        "key": json.dumps(key, sort_keys=True),
        "module": stepper.module.state_dict(),
        "optimizer": stepper.optimizer.state_dict(),
        "average": stepper.average.state_dict(),
        "random": _random(),
        "state": json.dumps(asdict(state)),
    }
    atomic(folder / NAME, lambda path: torch.save(content, path))


def load_checkpoint(
    folder: Path, stepper: Stepper, key: dict[str, Any], group: Group
) -> RunState | None:
    """Restores what `save_checkpoint` wrote and returns the state; None if there is no checkpoint.

    The first process reads, so the others need not see its folder.

    Raises:
        InputError: the checkpoint is unreadable or belongs to other settings or data.
    """
    path = folder / NAME
    content = group.from_first(_read(path, key) if group.first and path.exists() else None)
    if group.first:
        _clear(folder)
    if content is None:
        return None
    try:
        stepper.module.load_state_dict(content["module"])
        stepper.optimizer.load_state_dict(content["optimizer"])
        stepper.average.load_state_dict(content["average"])
        torch.set_rng_state(content["random"]["cpu"])
        if torch.cuda.is_available() and "cuda" in content["random"]:
            torch.cuda.set_rng_state(content["random"]["cuda"])
        return _state(**json.loads(content["state"]))
    except Exception as error:  # whatever a foreign content leads to
        raise _refused(path, error) from None


def _state(epoch: int, step: int, loss: float, best: float, metrics: list[Any]) -> RunState:
    """The state of a file, which may say anything."""
    if not epoch >= 0 <= step or not all(isinstance(row, dict) for row in metrics):
        raise ValueError(f"epoch {epoch!r}, step {step!r}")
    return RunState(int(epoch), int(step), float(loss), float(best), metrics)


def _read(path: Path, key: dict[str, Any]) -> dict[str, Any]:
    try:
        content = load_plain(path)
        stored = json.loads(content["key"])
        own = json.loads(json.dumps(key))
        # a setting that came after the run began has its default
        stored["settings"] = Settings().table() | stored["settings"]
        if stored != own:
            changed = sorted(k for k in {*stored, *own} if stored.get(k) != own.get(k))
            raise InputError(
                f"{path}: belongs to a run with another {', '.join(changed)}; "
                "use the same options or another --out"
            )
        return content
    except InputError:
        raise
    except Exception as error:  # the reader raises anything on damaged bytes
        raise _refused(path, error) from None


def _refused(path: Path, error: Exception) -> InputError:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(f"{path}: not a checkpoint of certlip ({line})")


def _random() -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _clear(folder: Path) -> None:
    """Removes the unfinished files of a process that was killed while it wrote."""
    for name in FILES:
        for unfinished in folder.glob(f".{name}.*"):
            unfinished.unlink(missing_ok=True)
