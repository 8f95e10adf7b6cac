"""W max(x, 0) + b on boxes as one step: what the product needs of the radius is added where ReLU has the
numbers in the cache."""

from __future__ import annotations

from certlip.certification.interval.activation import Activate
from certlip.certification.interval.affine import Linear
from certlip.certification.interval.base import Step
from certlip.certification.interval.relu import apart, relu, together
from certlip.linalg.rigorous.ball import Ball


class Rectified(Step):
    """ReLU gives c ≥ 0, and so γ|c| is a share of its mid."""

    def __init__(self, product: Linear) -> None:
        self.product = product

    def __call__(self, box: Ball) -> Ball:
        return self.onward(apart(box))

    def onward(self, box: Ball) -> Ball:
        return self.product.widened(relu(box if together(box) else apart(box), self.product.off))


def rectified(steps: list[Step]) -> list[Step]:
    """The same function, every ReLU before an exact linear step taken together with it."""
    found: list[Step] = []
    for step in steps:
        last = found[-1] if found else None
        is_relu = isinstance(last, Activate) and last.is_relu
        if is_relu and isinstance(step, Linear) and step.rad_T is None:
            found[-1] = Rectified(step)
        else:
            found.append(step)
    return found
