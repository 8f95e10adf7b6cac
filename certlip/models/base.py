"""What a trainable model is: a torch module on flattened raw inputs that freezes to a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import nn

from certlip.blocks import Network


class Model(nn.Module, ABC):
    """A 1-Lipschitz classifier R^d → R^classes.

    The input is flattened and in raw units (pixels in [0, 1]). Constructors take `d`, `classes` and
    whole numbers by keyword, which are the `[model]` table of a recipe.
    """

    #: What it is trained in: equilibria are solved in float64.
    dtype: ClassVar[torch.dtype] = torch.float32

    @abstractmethod
    def freeze(self) -> Network:
        """The model as float64 blocks, without history."""
