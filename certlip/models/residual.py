"""Classifiers of dense residual layers, SLL or CPL: zero padding, residual layers, truncation.

Zero padding to a larger width and keeping the first coordinates as logits are both 1-Lipschitz, so the
whole network is (Araujo et al., 2023; the truncation head is that of Havens et al., 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from certlip.blocks import Affine, Block, Network
from certlip.errors import InputError
from certlip.layers import CPLDense, LipschitzLayer, SLLDense
from certlip.models.base import Model


class ResidualClassifier(Model):
    """`depth` residual layers of `width` coordinates and `hidden` units each.

    Args:
        d: Length of the flattened input.
        classes: Number of logits, the first coordinates of the last layer.
        width: Coordinates of every layer, at least max(d, classes).
        hidden: Hidden units per layer.
        depth: Number of layers.

    Raises:
        InputError: a size that does not fit.
    """

    family: ClassVar[str]
    layer: ClassVar[Callable[[int, int], LipschitzLayer]]

    def __init__(self, d: int, classes: int, *, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        if min(d, classes) < 1:
            raise InputError(f"{self.family} with {d} inputs, {classes} classes: expected ≥ 1")
        if width < max(d, classes):
            raise InputError(f"{self.family} width {width}: expected at least {max(d, classes)}")
        if depth < 1:
            raise InputError(f"{self.family} depth {depth}: expected at least 1")
        self.d, self.classes, self.width = d, classes, width
        make = type(self).layer
        self.layers = nn.ModuleList(make(width, hidden) for _ in range(depth))

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
            blocks.append(Affine(eye[:, : self.d], zeros))
        for layer in self.layers:
            assert isinstance(layer, LipschitzLayer)
            blocks.extend(layer.freeze())
        blocks.append(Affine(eye[: self.classes], zeros[: self.classes]))
        return Network(blocks)


class SLLClassifier(ResidualClassifier):
    """SLL layers."""

    family = "SLL"
    layer = SLLDense


class CPLClassifier(ResidualClassifier):
    """Convex potential layers."""

    family = "CPL"
    layer = CPLDense
