"""How a run is conducted, and what it tells of its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from certlip.training.batches import RESIDENT
from certlip.training.group import Group, current_group


@dataclass(frozen=True)
class Progress:
    """What is told after every epoch: `epoch` of `epochs` are done."""

    epoch: int
    epochs: int
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Position:
    """What is told after every step: `epoch` epochs are done, and `step` of `steps` of the next."""

    epoch: int
    epochs: int
    step: int
    steps: int
    batch_size: int


@dataclass(frozen=True)
class Conduct:
    """How a run is conducted: nothing of it changes the weights, but for the device's own rounding.

    Args:
        resume: Go on from the checkpoint of the folder, if there is one.
        device: Where the model and, if they fit, the data lie.
        minutes: Time after which the run saves and stops; None has no end.
        compiled: Whether the model is compiled for training, which is a rounding of its own.
        on_epoch: Is told of every epoch.
        on_step: Is told of every step.
        group: The processes of the run.
        resident: The most bytes of data that lie on the device.
    """

    resume: bool = False
    device: str = "cpu"
    minutes: float | None = None
    compiled: bool = False
    on_epoch: Callable[[Progress], None] | None = None
    on_step: Callable[[Position], None] | None = None
    group: Group = field(default_factory=current_group)
    resident: int = RESIDENT
