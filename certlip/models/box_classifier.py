"""What classifiers of images for certified training with boxes have in common.

They are not 1-Lipschitz: what is certified in the ℓ∞ norm comes from boxes. Layers are convolutions
with zero padding and dense maps; batch normalisation is frozen into the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from certlip.blocks import Block, Network
from certlip.equilibrium.cerdeq import CerDEQ
from certlip.layers.boxed import BoxLayer, DenseUnit
from certlip.linalg.boxes import Boxes
from certlip.models.base import Model


@dataclass(frozen=True)
class Bounded:
    """Logits (batch, classes) at the inputs; lower bounds (batch, classes) of the margins of the label
    over their boxes, 0 at the label itself; the mean radii of boxes layer by layer, that of the input
    first; and, if they were asked for, centres and radii of what goes into every explicit ReLU."""

    logits: Tensor
    lower: Tensor
    widths: tuple[Tensor, ...]
    inner: tuple[tuple[Tensor, Tensor], ...] | None = None


class BoxClassifier(Model):
    """Layers on images, an equilibrium layer if any, and a dense head.

    Args:
        image: (height, width).
        layers: In order, on images (batch, channels, height, width) first.
        layer: An equilibrium layer behind them, or None.
        head: From what comes out, flattened, to the logits.
    """

    def __init__(
        self,
        image: tuple[int, int],
        layers: Sequence[BoxLayer],
        layer: CerDEQ | None,
        head: DenseUnit,
    ) -> None:
        super().__init__()
        self.image, self.layer, self.head = image, layer, head
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self._images(x)
        for layer in self.layers:
            x = layer(x)
        x = x.flatten(1)
        return self.head(x if self.layer is None else self.layer(x))

    def bounds(self, x: Tensor, eps: float, label: Tensor, *, inner: bool = False) -> Bounded:
        """Logits and margins for ‖x′ − x‖∞ ≤ eps, differentiable; nothing is rounded outward."""
        boxes = Boxes.around(x, eps, inner=inner).reshaped(self._images)
        for layer in self.layers:
            assert isinstance(layer, BoxLayer)
            boxes = layer.boxes(boxes)
        boxes = boxes.reshaped(lambda v: v.flatten(1))
        if self.layer is not None:
            boxes = self.layer.boxes(boxes)
        W, b = self.head.weight, self.head.bias
        D, d = W[label][:, None] - W, b[label][:, None] - b  # one row for every margin
        radius = boxes.r.expand_as(boxes.c)
        lower = torch.einsum("bjn,bn->bj", D, boxes.c) + d
        lower = lower - torch.einsum("bjn,bn->bj", D.abs(), radius)
        return Bounded(self.head(boxes.x), lower, boxes.widths, boxes.inner)

    def freeze(self) -> Network:
        blocks: list[Block] = []
        for layer in self.layers:
            assert isinstance(layer, BoxLayer)
            blocks += layer.freeze()
        if self.layer is None:
            return Network([*blocks, *self.head.freeze()])
        if self.layer.torus is not None and self.layer.padding == "circular":
            return Network([*blocks, self.layer.freeze(), *self.head.freeze()])
        G, b_y = (p.detach().double().cpu() for p in (self.head.weight, self.head.bias))
        return Network([*blocks, self.layer.freeze(G, b_y)])

    def _images(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, *self.image))
