"""Down along half a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from certlip.training.schedules.base import Schedule


@dataclass(frozen=True)
class Cosine(Schedule):
    """(1 + cos(π·share))/2, from 1 to 0."""

    name = "cosine"

    def __call__(self, share: float) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * share))
