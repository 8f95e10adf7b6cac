"""Up linearly, then down linearly."""

from __future__ import annotations

from dataclasses import dataclass

from certlip.errors import InputError
from certlip.training.schedules.base import Schedule


@dataclass(frozen=True)
class Triangular(Schedule):
    """From 0 to 1 at `peak`, then to 0.

    Args:
        peak: In (0, 1).
    """

    name = "triangular"
    peak: float = 0.4

    def __post_init__(self) -> None:
        if not 0.0 < self.peak < 1.0:
            raise InputError(f"peak = {self.peak!r}: expected a number between 0 and 1")

    def __call__(self, share: float) -> float:
        if share <= self.peak:
            return share / self.peak
        return max(0.0, (1.0 - share) / (1.0 - self.peak))
