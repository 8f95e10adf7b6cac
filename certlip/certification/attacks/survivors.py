"""What attacks leave of an accuracy: samples whose class survives every search at an ε.

A class that survived may still be lost to a better search, so that the share of survivors bounds robust
accuracy from above, as the certified share does from below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from certlip.certification.attacks.counterexamples import Counterexample
from certlip.certification.attacks.falsify import Falsifier
from certlip.certification.eps import Eps


@dataclass(frozen=True)
class Survivors:
    """Of a batch: which rows are classified right (n,), as computed, and for every one that was lost the
    number of the first ε at which it was, and the proven counterexample there."""

    correct: np.ndarray
    lost: dict[int, tuple[int, Counterexample]]

    def at(self, k: int) -> int:
        """How many are left at the k-th ε."""
        return int(self.correct.sum()) - sum(first <= k for first, _ in self.lost.values())


def survivors(
    falsifier: Falsifier,
    x: np.ndarray,
    label: np.ndarray,
    eps: Sequence[Eps],
    generator: torch.Generator,
) -> Survivors:
    """Attacks rows x (n, d), n ≤ ROWS, of labels (n,), in balls of every ε, the smallest first.

    A row that is lost at one ε is lost at every larger one, and is not attacked again.

    Args:
        eps: In increasing order.
    """
    y = falsifier.target.logits(x).cpu().numpy()
    correct = np.where(np.isnan(y), -np.inf, y).argmax(axis=1) == label
    correct &= np.isfinite(y[np.arange(len(y)), label])
    lost: dict[int, tuple[int, Counterexample]] = {}
    for k, each in enumerate(eps):
        rows = np.array([i for i in np.flatnonzero(correct) if i not in lost], dtype=int)
        if not len(rows):
            break
        radius = np.full(len(rows), each.lower)
        for c in falsifier(x[rows], label[rows], radius, generator):
            lost[int(rows[c.index])] = k, c
    return Survivors(correct, lost)
