"""A moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """a ← d·a + (1 − d)·w after every step, with 1 − d ≥ 1/(steps + 1), so that the first weights fade.

    Args:
        decay: d in [0, 1); 0 keeps no average.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay, self.steps = module, decay, 0
        self.weights = [p.detach().clone() for p in module.parameters()] if decay else []

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights after a step."""
        if not self.decay:
            return
        self.steps += 1
        new = max(1.0 - self.decay, 1.0 / (self.steps + 1))
        for mean, weight in zip(self.weights, self.module.parameters(), strict=True):
            mean.lerp_(weight, new)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the module has the averages as its weights."""
        if not self.decay:
            yield
            return
        own = [p.detach().clone() for p in self.module.parameters()]
        self._put(self.weights)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for weight, value in zip(self.module.parameters(), values, strict=True):
            weight.copy_(value)

    def state_dict(self) -> dict[str, object]:
        """What a checkpoint keeps."""
        return {"steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: dict) -> None:
        """Puts back what `state_dict` gave."""
        self.steps = int(state["steps"])
        for mean, value in zip(self.weights, state["weights"], strict=True):
            mean.copy_(value)
