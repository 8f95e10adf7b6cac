"""The ladder of proven Lipschitz bounds, from spectral norms to one LMI for the whole network.

To add a rung: its file, and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from certlip.blocks import Network
from certlip.linalg.rigorous import UpperBound, require_ieee
from certlip.lmi.ladder.base import Best as Best
from certlip.lmi.ladder.base import Budget as Budget
from certlip.lmi.ladder.base import Rung as Rung
from certlip.lmi.ladder.base import Stretch as Stretch
from certlip.lmi.ladder.closed import Closed
from certlip.lmi.ladder.jointly import Jointly
from certlip.lmi.ladder.norms import Norms
from certlip.lmi.ladder.pairs import best_pairs
from certlip.lmi.ladder.solved import Solved

RUNGS: tuple[type[Rung], ...] = (Norms, Closed, Solved, Jointly)


@dataclass(frozen=True)
class Climbed:
    """One rung: what it bounded, and the best bound of the network after it."""

    rung: str
    stretches: tuple[Stretch, ...]
    lip: UpperBound | None

    @property
    def seconds(self) -> float:
        return sum(stretch.seconds for stretch in self.stretches)


@dataclass(frozen=True)
class Ladder:
    """All rungs, and bounds (classes, classes) of the differences of logits where they were asked for."""

    rungs: tuple[Climbed, ...]
    blocks: tuple[UpperBound | None, ...]
    pairs: np.ndarray | None
    pairs_reason: str = ""

    @property
    def lip(self) -> UpperBound | None:
        """The best bound from raw inputs to logits."""
        return self.rungs[-1].lip


def climb(
    network: Network,
    budget: Budget | None = None,
    *,
    pairs: bool = True,
    on_rung: Callable[[Climbed], None] | None = None,
) -> Ladder:
    """Climbs as far as the budget allows; every bound is proven, whenever it stops.

    Args:
        network: The frozen network.
        budget: Time, memory, accuracy and device; none: no limits.
        pairs: Whether to bound every difference of two logits as well.
        on_rung: Called after each rung.
    """
    require_ieee()
    budget = budget or Budget()
    m = len(network.blocks)
    best, climbed = Best(), []
    for rung in RUNGS:
        stretches = tuple(rung().climb(network, best, budget))
        for stretch in stretches:
            best.add(stretch)
        climbed.append(Climbed(rung.name, stretches, best.of(0, m)))
        if on_rung is not None:
            on_rung(climbed[-1])
    blocks = tuple(best.of(k, k + 1) for k in range(m))
    found, reason = best_pairs(network, best, budget) if pairs else (None, "")
    return Ladder(tuple(climbed), blocks, found, reason)
