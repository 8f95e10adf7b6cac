"""Boxes of a whole network in single precision: proven as those in double, a little wider, and for less
than half of the time."""

from __future__ import annotations

import numpy as np

from certlip.certification.interval.activation import Activate
from certlip.certification.interval.affine import Linear
from certlip.certification.interval.base import Step
from certlip.certification.interval.bounds import MarginBounds
from certlip.certification.interval.equilibrium import State
from certlip.certification.interval.network import IntervalBounds
from certlip.certification.interval.rectified import Rectified
from certlip.certification.interval.single.base import InDouble, Single, SingleStep
from certlip.certification.interval.single.product import Product, Rectify
from certlip.certification.interval.single.start import SingleStart


class SingleBounds(MarginBounds):
    """Margins on ℓ∞ balls of the network that `bounds` is for, by plain boxes.

    Attributes:
        faster: Whether anything is gained over double precision.
    """

    def __init__(self, bounds: IntervalBounds) -> None:
        self.front, self.body = bounds.front, in_single(bounds.body)
        self.margins, self.classes = bounds.margins, bounds.classes
        self.faster = any(
            not isinstance(step, InDouble) or any(isinstance(s, State) for s in step.steps)
            for step in self.body
        )

    def start(self, x: np.ndarray) -> SingleStart:
        """Rows x (batch, d) on their way through the affine steps that come first, in double precision."""
        return SingleStart(self.front(x))

    def _lower(self, box: Single, a: np.ndarray) -> np.ndarray:
        for step in self.body:
            box = step(box)
        return self.margins.lower(box.ball(), a)


def in_single(steps: list[Step]) -> list[SingleStep]:
    """The same function, in single precision where that is faster."""
    found: list[SingleStep] = []
    for step in steps:
        if isinstance(step, Rectified):
            found.append(Rectify(Product(step.product)))
        elif isinstance(step, Linear):
            found.append(Product(step))
        elif isinstance(step, Activate) and step.is_relu:
            found.append(Rectify())
        else:
            step = step.roughly() if isinstance(step, State) else step
            last = found[-1] if found else None
            if isinstance(last, InDouble):
                last.steps.append(step)
            else:
                found.append(InDouble([step]))
    return found
