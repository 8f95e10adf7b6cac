"""What is proven of the logits of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from certlip.linalg.rigorous.bounds import SQRT2

#: The share of its margin that the error of a sample may cost before its guess is refined.
LARGEST_LOSS = 1e-2


@dataclass(frozen=True)
class Enclosure:
    """Logits y (batch, classes) with ‖y − f(x)‖₂ ≤ error (batch,), and the states on the way.

    `states[k]` (batch, n) is the guess that equilibrium block k was verified with, `residual` (batch,)
    the largest proven bound of a residual, 0 for explicit networks. `norms[:, k]` (batch, blocks) bounds
    the norm of the true input of block k.
    """

    y: np.ndarray
    error: np.ndarray
    states: dict[int, np.ndarray]
    residual: np.ndarray
    norms: np.ndarray

    def gap(self, label: np.ndarray) -> np.ndarray:
        """By how much the logit of a class (n,) exceeds the largest other one."""
        row, others = np.arange(len(self.y)), self.y.copy()
        others[row, label] = -np.inf
        return self.y[row, label] - others.max(axis=1)

    def loss(self) -> np.ndarray:
        """The share (n,) of the margin of the largest logit that errors cost."""
        return SQRT2.value * self.error / self.gap(self.y.argmax(axis=1))

    def uncertain(self, label: np.ndarray) -> np.ndarray:
        """Rows (n,) bool whose error costs much of the margin of a class, or hides whether it has one."""
        gap, off = self.gap(label), SQRT2.value * self.error
        return ~np.where(gap > 0.0, off <= LARGEST_LOSS * gap, off < -gap)

    def rows(self, rows: slice) -> Enclosure:
        """The enclosures of some rows."""
        states = {k: z[rows] for k, z in self.states.items()}
        return Enclosure(
            self.y[rows], self.error[rows], states, self.residual[rows], self.norms[rows]
        )

    def where(self, chosen: np.ndarray, other: Enclosure) -> Enclosure:
        """These rows where `chosen` (n,), those of `other` elsewhere."""

        def merged(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
            return np.where(chosen.reshape(-1, *[1] * (mine.ndim - 1)), mine, theirs)

        return _of_columns(merged, self, other)


def joined(parts: list[Enclosure]) -> Enclosure:
    """The enclosures of rows one after the other."""
    return _of_columns(lambda *columns: np.concatenate(columns), *parts)


def _of_columns(f: Callable[..., np.ndarray], *parts: Enclosure) -> Enclosure:
    names = ("y", "error", "residual", "norms")
    columns = {name: f(*(getattr(part, name) for part in parts)) for name in names}
    states = {k: f(*(part.states[k] for part in parts)) for k in parts[0].states}
    return Enclosure(**columns, states=states)
