"""What a trainable model is: a torch module on flattened raw inputs that freezes to a network."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from certlip.blocks import Network


class Model(nn.Module, ABC):
    """A classifier R^d → R^classes; the input is flattened and in raw units (pixels in [0, 1])."""

    @abstractmethod
    def freeze(self) -> Network:
        """The model as float64 blocks, without history."""
