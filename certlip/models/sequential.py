"""Classifiers that are a plain sequence of Lipschitz layers: AOL and Sandwich."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from certlip.blocks import Network
from certlip.blocks.activations import ReLU
from certlip.layers import AOLDense, LipschitzLayer, OrthogonalDense, SandwichDense
from certlip.layers.base import positive_sizes
from certlip.models.base import Model


class SequentialClassifier(Model):
    """Layers one after the other."""

    def __init__(self, layers: list[LipschitzLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def freeze(self) -> Network:
        blocks = []
        for layer in self.layers:
            assert isinstance(layer, LipschitzLayer)
            blocks.extend(layer.freeze())
        return Network(blocks)


class AOLClassifier(SequentialClassifier):
    """`depth` hidden AOL layers of `width` units, and an AOL layer to the logits.

    Raises:
        InputError: a size below 1.
    """

    def __init__(self, d: int, classes: int, *, width: int, depth: int) -> None:
        positive_sizes("AOL", width=width, depth=depth)
        widths = [d, *[width] * depth]
        hidden = [AOLDense(a, b, ReLU()) for a, b in pairwise(widths)]
        super().__init__([*hidden, AOLDense(width, classes)])


class SandwichClassifier(SequentialClassifier):
    """`depth` Sandwich layers of `width` coordinates and `hidden` units, and an orthogonal head.

    Raises:
        InputError: a size below 1.
    """

    def __init__(self, d: int, classes: int, *, width: int, hidden: int, depth: int) -> None:
        positive_sizes("sandwich", width=width, hidden=hidden, depth=depth)
        widths = [d, *[width] * depth]
        layers = [SandwichDense(a, hidden, b) for a, b in pairwise(widths)]
        super().__init__([*layers, OrthogonalDense(width, classes)])
