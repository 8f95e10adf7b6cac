"""Lower bounds of the margins f_a − f_j on a box: the last affine steps merged with the difference.

Two separate bounds of f_a and f_j would give away what both share. The rows w_a − w_j and the biases are
rounded, and what they are off by is bounded; behind an equilibrium, G and an affine head are one matrix.
"""

from __future__ import annotations

import numpy as np

from certlip.certification.interval.affine import Matrix
from certlip.certification.interval.base import Step
from certlip.certification.interval.box import ends
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import down


class Margins:
    """What is left of a network behind the box of its last features: a matrix, or nothing.

    Args:
        tail: Matrices, applied one after the other.
    """

    def __init__(self, tail: list[Matrix]) -> None:
        self.head: tuple[Ball, Ball] | None = None
        for step in tail:
            W, b = step.W, step.b
            if self.head is not None:
                W, b = W @ self.head[0], (W @ self.head[1][:, None])[:, 0] + b
            self.head = W, b
        self._rows: dict[int, Matrix] = {}

    def lower(self, box: Ball, a: np.ndarray) -> np.ndarray:
        """(batch, classes): bounds of f_a − f_j on every row's box for its own class a, ∞ where j = a."""
        lowers = np.empty((len(a), self._classes(box)))
        for each in np.unique(a):
            rows = np.flatnonzero(a == each)
            lowers[rows] = self._against(int(each), box[rows])  # a copy
        lowers[np.arange(len(a)), a] = np.inf
        return lowers

    def _against(self, a: int, box: Ball) -> np.ndarray:
        """For boxes of one class, which are overwritten."""
        if self.head is None:
            low, high = ends(box)
            return down(low[:, a : a + 1] - high)
        return ends(self.rows(a).onward(box))[0]

    def rows(self, a: int) -> Matrix:
        """The matrix of f_a − f_j for all j. There is one only behind a matrix."""
        assert self.head is not None
        if a not in self._rows:
            W, b = self.head
            self._rows[a] = Matrix(W[a : a + 1] - W, b[a : a + 1] - b)
        return self._rows[a]

    def _classes(self, box: Ball) -> int:
        return box.shape[1] if self.head is None else self.head[0].shape[0]


def split(steps: list[Step]) -> tuple[list[Step], Margins]:
    """The steps before the last matrices, and these as margins."""
    tail: list[Matrix] = []
    while steps and isinstance(steps[-1], Matrix):
        tail.insert(0, steps[-1])
        steps = steps[:-1]
    return steps, Margins(tail)
