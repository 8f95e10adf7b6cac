"""Always the same learning rate."""

from __future__ import annotations

from dataclasses import dataclass

from certlip.training.schedules.base import Schedule


@dataclass(frozen=True)
class Constant(Schedule):
    """1."""

    name = "constant"

    def __call__(self, share: float) -> float:
        del share
        return 1.0
