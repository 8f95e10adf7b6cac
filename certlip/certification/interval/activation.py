"""σ on boxes: nondecreasing, so that the ends of a box become the ends of the next one."""

from __future__ import annotations

import numpy as np
import torch

from certlip.blocks import Activation, Sigma
from certlip.blocks.activations import ReLU
from certlip.certification.interval.base import Step
from certlip.certification.interval.box import between, ends
from certlip.certification.interval.relu import apart, relu, together
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, up


class Activate(Step):
    """σ entry by entry, with slopes in [0, 1]; what its evaluation may be off by is added outward."""

    def __init__(self, sigma: Sigma) -> None:
        self.sigma = sigma
        relative = sigma.relative_error().numpy()
        self.relative = relative if relative.any() else None
        self.is_relu = all(kind == ReLU() for kind, _ in sigma.segments)

    def __call__(self, box: Ball) -> Ball:
        if self.is_relu:
            return relu(apart(box))
        low, high = map(self._at, ends(box))
        if self.relative is not None:
            low = low - up(up(self.relative * np.abs(low)) + TINY)
            high = high + up(up(self.relative * np.abs(high)) + TINY)
        return between(low, high)

    def onward(self, box: Ball) -> Ball:
        return relu(box) if self.is_relu and together(box) else self(box)

    def _at(self, v: np.ndarray) -> np.ndarray:
        return self.sigma.forward(torch.from_numpy(v)).numpy()


def activation(block: Activation) -> list[Step]:
    return [Activate(block.sigma)]
