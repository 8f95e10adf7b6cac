"""The schedule of the SLL reference recipe: a triangle with a low tail."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from certlip.training.schedules.base import Schedule

AT, FACTOR = (0.0, 0.4, 0.8, 1.0), (0.0, 1.0, 0.05, 0.0)


@dataclass(frozen=True)
class Knee(Schedule):
    """Linear from 0 to 1 at 2/5, to 1/20 at 4/5, to 0 (the reference code of Araujo et al., 2023)."""

    name = "knee"

    def __call__(self, share: float) -> float:
        k = min(max(bisect.bisect_right(AT, share), 1), len(AT) - 1)
        along = (share - AT[k - 1]) / (AT[k] - AT[k - 1])
        return FACTOR[k - 1] + along * (FACTOR[k] - FACTOR[k - 1])
