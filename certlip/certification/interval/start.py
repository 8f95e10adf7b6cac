"""Boxes behind the affine steps at the front of a network: their centre does not depend on r, and their
radius is linear in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from certlip.certification.interval.affine import Linear
from certlip.certification.interval.base import Step, through
from certlip.certification.interval.bounds import asked
from certlip.certification.interval.box import around
from certlip.certification.interval.growth import Growth, Plain, Rounding
from certlip.linalg.rigorous.ball import Ball

#: Numbers of the boxes that go through a network together, and the fewest rows of a matrix product.
WORKING, FEWEST = 2**17, 64


class Start:
    """Boxes of the first affine steps as functions of r: the centre stays, and the radius grows.

    Rows go in parts whose boxes stay in the cache on their way through the network.

    Args:
        unit: (1, features): the radius that an input radius of 1 gives, rounded up.
        parts: Rows of the batch, what x becomes, and its radii.
    """

    def __init__(self, unit: np.ndarray, parts: list[tuple[slice, np.ndarray, Growth]]) -> None:
        self.unit, self.parts = unit, parts

    def within(self, r: np.ndarray) -> Iterator[tuple[slice, Ball]]:
        """The boxes for ‖x′ − x‖∞ ≤ r (batch,), and whose they are; none where all r are NaN."""
        for rows, mid, growth in self.parts:
            if (part := asked(r, rows)) is not None:
                yield rows, Ball(mid.copy("K"), growth(part, mid))


class Front:
    """Affine steps, and |A|1 for their matrix A, rounded up.

    Args:
        steps: Affine, one after the other.
        width: The inputs of the first.
    """

    def __init__(self, steps: Sequence[Step], width: int) -> None:
        self.steps = steps
        self.unit = through(steps, around(np.zeros((1, width)), np.ones(1))).radius()

    def __call__(self, x: np.ndarray) -> Start:
        """Rows x (batch, width) on their way through the steps."""
        step = max(FEWEST, WORKING // max(self.unit.shape[1], 1))
        parts = [slice(first, first + step) for first in range(0, max(len(x), 1), step)]
        return Start(self.unit, [(rows, *self._part(x[rows])) for rows in parts])

    @np.errstate(over="ignore", invalid="ignore", under="ignore")
    def _part(self, x: np.ndarray) -> tuple[np.ndarray, Growth]:
        first = self.steps[0] if len(self.steps) == 1 else None
        box = Ball(x)  # doubles
        if isinstance(first, Linear) and first.W.rad is None:
            mid, size = first.point(box.mid)
            return mid, Rounding(self.unit, size, first.rows, first.floor)
        box = through(self.steps, box)
        return box.mid, Plain(self.unit, box.radius())
