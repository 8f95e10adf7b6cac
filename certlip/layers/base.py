"""What a trainable layer is: a torch module that can be frozen to blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from certlip.blocks import Block
from certlip.errors import InputError

#: Frozen multipliers are moved to the safe side by this relative amount, so that the conditions hold
#: with room for rounding. The frozen network is what runs and what is proven.
NUDGE = 1e-9


class LipschitzLayer(nn.Module, ABC):
    """A layer whose parametrization keeps it L-Lipschitz in exact arithmetic.

    Law: `freeze()` gives blocks that compute the same function up to the nudge; the bound is proven
    on what is frozen, never taken from the parametrization.
    """

    @abstractmethod
    def freeze(self) -> list[Block]:
        """The layer as float64 blocks."""


def positive_sizes(layer: str, **sizes: int) -> None:
    """Raises an `InputError` unless every size is at least 1."""
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{layer} layer with {name} = {value}: expected at least 1")
