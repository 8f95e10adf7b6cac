"""Learning-rate schedules as functions of the share of training that is done."""

from __future__ import annotations


def triangular(share: float, *, peak: float = 0.4) -> float:
    """Factor on the learning rate: up linearly to 1 at `peak`, then down linearly to 0."""
    if share <= peak:
        return share / peak
    return max(0.0, (1.0 - share) / (1.0 - peak))
