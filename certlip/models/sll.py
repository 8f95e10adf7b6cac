"""A classifier of dense SLL layers: zero padding, residual layers, truncation.

Zero padding to a larger width and keeping the first coordinates as logits are both 1-Lipschitz, so
the whole network is (Araujo et al., 2023; the head is the truncation head of Havens et al., 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Affine, Block, Network
from certlip.errors import InputError
from certlip.layers import SLLDense
from certlip.models.base import Model


class SLLClassifier(Model):
    """`depth` SLL layers of `width` coordinates and `hidden` units each.

    Args:
        d: Length of the flattened input.
        classes: Number of logits, the first coordinates of the last layer.
        width: Coordinates of every layer, at least max(d, classes).
        hidden: Hidden units per layer.
        depth: Number of layers.
    """

    def __init__(self, d: int, classes: int, *, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        if width < max(d, classes):
            raise InputError(f"SLL width {width}: expected at least {max(d, classes)}")
        if depth < 1:
            raise InputError(f"SLL depth {depth}: expected at least 1")
        self.d, self.classes, self.width = d, classes, width
        self.layers = nn.ModuleList(SLLDense(width, hidden) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (0, self.width - self.d))
        for layer in self.layers:
            x = layer(x)
        return x[:, : self.classes]

    def freeze(self) -> Network:
        eye = torch.eye(self.width, dtype=torch.float64)
        zeros = torch.zeros(self.width, dtype=torch.float64)
        blocks: list[Block] = []
        if self.width > self.d:
            blocks.append(Affine(eye[:, : self.d].contiguous(), zeros))
        for layer in self.layers:
            assert isinstance(layer, SLLDense)
            blocks.extend(layer.freeze())
        blocks.append(Affine(eye[: self.classes].contiguous(), zeros[: self.classes].contiguous()))
        return Network(blocks)
