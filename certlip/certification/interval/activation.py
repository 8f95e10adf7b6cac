"""σ on boxes: nondecreasing, so that the ends of a box become the ends of the next one."""

from __future__ import annotations

import numpy as np
import torch

from certlip.blocks import Activation, Sigma
from certlip.certification.interval.base import Step
from certlip.certification.interval.box import between, ends
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, up


class Activate(Step):
    """σ entry by entry, with slopes in [0, 1]; what its evaluation may be off by is added outward."""

    def __init__(self, sigma: Sigma) -> None:
        self.sigma = sigma
        relative = sigma.relative_error().numpy()
        self.relative = relative if relative.any() else None

    def __call__(self, box: Ball) -> Ball:
        low, high = map(self._at, ends(box))
        if self.relative is not None:
            low = low - up(up(self.relative * np.abs(low)) + TINY)
            high = high + up(up(self.relative * np.abs(high)) + TINY)
        return between(low, high)

    def _at(self, v: np.ndarray) -> np.ndarray:
        return self.sigma.forward(torch.from_numpy(v)).numpy()


def activation(block: Activation) -> list[Step]:
    return [Activate(block.sigma)]
