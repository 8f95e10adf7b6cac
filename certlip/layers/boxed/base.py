"""What a layer for training with interval bounds is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from certlip.blocks import Block
from certlip.linalg.boxes import Boxes


class BoxLayer(nn.Module, ABC):
    """A layer without a Lipschitz bound of its own.

    Law: `boxes` of boxes holds what `forward` gives for every point of them, and its x is `forward` of x.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def boxes(self, boxes: Boxes) -> Boxes: ...

    @abstractmethod
    def freeze(self) -> list[Block]:
        """The layer as it evaluates, as float64 blocks."""
