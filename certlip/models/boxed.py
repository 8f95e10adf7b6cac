"""Classifiers of images for certified training with boxes: CerDEQ, and plain convolutional networks.

They are not 1-Lipschitz: what is certified in the ℓ∞ norm comes from boxes. Layers are convolutions
with zero padding and dense maps; batch normalisation is optional (`norm` = 1) and frozen into the
weights. Sources: Li, Wang & Lin, ICML 2022; CNN-7 of Shi et al., NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from certlip.blocks import Block, Network
from certlip.equilibrium.cerdeq import CerDEQ
from certlip.layers.base import positive_sizes
from certlip.layers.boxed import BoxLayer, ConvUnit, DenseUnit
from certlip.linalg.boxes import Boxes
from certlip.linalg.torus import Torus
from certlip.models.base import Model
from certlip.models.sizes import channels_of, flag, padding_of


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


class CerDEQClassifier(BoxClassifier):
    """Two convolutions with stride 2, `channels` and twice as many channels, a dense CerDEQ layer with
    `hidden` states, and a head. `variant` says how W is kept small.

    Raises:
        InputError: a size that does not fit.
    """

    def __init__(
        self,
        d: int,
        classes: int,
        *,
        height: int,
        width: int,
        channels: int,
        hidden: int,
        norm: int = 0,
        variant: str = "bjorck",
    ) -> None:
        positive_sizes("CerDEQ", channels=channels, hidden=hidden, classes=classes)
        image = (height, width)
        stem = _stem(channels_of(d, image), channels, image, flag("norm", norm))
        features = 2 * channels * stem[-1].out[0] * stem[-1].out[1]
        layer = CerDEQ(features, hidden, variant=variant)
        super().__init__(image, stem, layer, DenseUnit(hidden, classes, relu=False))


class CerDEQConvClassifier(BoxClassifier):
    """The same convolutions, a convolutional CerDEQ layer with `hidden` channels, and a head.

    `zero_padding` = 1 pads its images with zeros, which is meant for small ones; 0 continues them at the
    other side.

    Raises:
        InputError: a size that does not fit.
    """

    def __init__(
        self,
        d: int,
        classes: int,
        *,
        height: int,
        width: int,
        channels: int,
        hidden: int,
        kernel: int = 1,
        norm: int = 0,
        zero_padding: int = 0,
    ) -> None:
        positive_sizes("CerDEQ", channels=channels, hidden=hidden, classes=classes)
        image = (height, width)
        stem = _stem(channels_of(d, image), channels, image, flag("norm", norm))
        torus = Torus(*stem[-1].out)
        padding = padding_of(zero_padding)
        layer = CerDEQ(2 * channels, hidden, torus=torus, kernel=kernel, padding=padding)
        super().__init__(image, stem, layer, DenseUnit(hidden * torus.pixels, classes, relu=False))


class CNN7Classifier(BoxClassifier):
    """Five convolutions with 3 × 3 taps, the third with stride 2 and twice the channels, a dense layer
    with `hidden` units, and a head: CNN-7 with `channels` = 64 and `hidden` = 512.

    Raises:
        InputError: a size that does not fit.
    """

    def __init__(
        self,
        d: int,
        classes: int,
        *,
        height: int,
        width: int,
        channels: int = 64,
        hidden: int = 512,
        norm: int = 0,
    ) -> None:
        positive_sizes("CNN-7", channels=channels, hidden=hidden, classes=classes)
        image, on = (height, width), flag("norm", norm)
        sizes = [channels_of(d, image), channels, channels, *[2 * channels] * 3]
        layers: list[BoxLayer] = []
        for k in range(5):
            unit = ConvUnit(sizes[k], sizes[k + 1], image, stride=2 if k == 2 else 1, norm=on)
            layers.append(unit)
            image = unit.out
        layers.append(DenseUnit(sizes[-1] * image[0] * image[1], hidden, norm=on))
        super().__init__((height, width), layers, None, DenseUnit(hidden, classes, relu=False))


def _stem(c: int, channels: int, image: tuple[int, int], norm: bool) -> list[ConvUnit]:
    """Two convolutions that halve the image."""
    first = ConvUnit(c, channels, image, 4, stride=2, norm=norm)
    return [first, ConvUnit(channels, 2 * channels, first.out, 4, stride=2, norm=norm)]


#: What is trained with boxes, by name: no family of these has a Lipschitz bound that training keeps.
BOXED: dict[str, Callable[..., Model]] = {
    "cerdeq": CerDEQClassifier,
    "cerdeq-conv": CerDEQConvClassifier,
    "cnn7": CNN7Classifier,
    **{
        name: partial(CerDEQClassifier, variant=variant)
        for name, variant in (
            ("ibp-mondeq", "ibp-mondeq"),
            ("cerdeq-weight-norm", "weight-norm"),
            ("cerdeq-spectral-norm", "spectral-norm"),
        )
    },
}
