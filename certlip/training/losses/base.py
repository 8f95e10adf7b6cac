"""What a loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn


@dataclass(frozen=True)
class Loss(ABC):
    """A frozen dataclass; its fields are its options in a recipe.

    Law: the mean over the batch of a term per sample, so that a batch may be cut into parts (gradient
    accumulation, several processes) and the means of the parts, weighted, are the mean of the whole.
    """

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, model: nn.Module, x: Tensor, label: Tensor, share: float) -> Tensor:
        """The mean loss, a scalar.

        Args:
            model: Maps inputs (n, d) to logits (n, classes).
            x: Inputs in raw units, (n, d).
            label: Classes, int64 (n,).
            share: How much of training is done, in [0, 1): whatever grows during training follows it.
        """


@dataclass(frozen=True)
class LogitLoss(Loss):
    """A loss that needs nothing of the model but its logits."""

    def __call__(self, model: nn.Module, x: Tensor, label: Tensor, share: float) -> Tensor:
        del share
        return self.of_logits(model(x), label)

    @abstractmethod
    def of_logits(self, logits: Tensor, label: Tensor) -> Tensor:
        """The mean loss of logits (n, classes)."""
