"""What bounds a block: steps from boxes to boxes, one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from certlip.linalg.rigorous.ball import Ball


class Step(ABC):
    """A function of rows, applied to boxes.

    Law: the box that comes out holds f(x) for every x of the box that goes in, whatever was rounded;
    its arrays belong to nobody else.
    """

    #: Whether f is affine: then its box is that of the centre, and a radius that grows linearly.
    linear: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, box: Ball) -> Ball:
        """The box of f(x), for rows (batch, d)."""

    def onward(self, box: Ball) -> Ball:
        """The same, and the arrays of `box` may be overwritten."""
        return self(box)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def through(steps: Sequence[Step], box: Ball) -> Ball:
    """The box behind some steps."""
    for step in steps[:1]:
        box = step(box)
    return onward(steps[1:], box)


def onward(steps: Sequence[Step], box: Ball) -> Ball:
    """The same, and the arrays of `box` may be overwritten."""
    for step in steps:
        box = step.onward(box)
    return box
