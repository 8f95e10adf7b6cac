"""Boxes behind the affine steps at the front of a network: their centre does not depend on r, and their
radius is linear in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from certlip.certification.interval.base import Step, through
from certlip.certification.interval.bounds import asked
from certlip.certification.interval.box import around
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, U, up

#: Numbers of the boxes that go through a network together, and the fewest rows of a matrix product.
WORKING, FEWEST = 2**17, 64


class Start:
    """What r ↦ the box of the first affine steps is made of: radii grow linearly with r.

    Rows go in parts whose boxes stay in the cache on their way through the network.

    Args:
        unit: (1, features): the radius that an input radius of 1 gives, rounded up.
        parts: Rows of the batch, and the box of x itself, whose radius is overwritten.
    """

    def __init__(self, unit: np.ndarray, parts: list[tuple[slice, Ball]]) -> None:
        self.unit = up(unit)  # beforehand what the product and the sum of `within` may lose
        self.parts = [(rows, box.mid, box.radius()) for rows, box in parts]
        for _, _, own in self.parts:
            own *= 1.0 + 4.0 * U
            own += TINY

    def within(self, r: np.ndarray) -> Iterator[tuple[slice, Ball]]:
        """The boxes for ‖x′ − x‖∞ ≤ r (batch,), and whose they are; none where all r are NaN."""
        for rows, mid, own in self.parts:
            if (part := asked(r, rows)) is None:
                continue
            rad = np.multiply(part[:, None], self.unit, out=np.empty_like(mid))
            rad += own
            yield rows, Ball(mid.copy("K"), rad)


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
        return Start(self.unit, [(rows, through(self.steps, Ball(x[rows]))) for rows in parts])
