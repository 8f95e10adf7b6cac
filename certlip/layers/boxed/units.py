"""Affine map, batch normalisation if wanted, ReLU if wanted: dense, or a convolution with zero padding.

Weights start as N(0, √(2π)/fan-in): then the mean radius of boxes neither grows nor shrinks from layer
to layer (Shi, Wang, Zhang, Yi & Hsieh, NeurIPS 2021).
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from certlip.blocks import Affine, Block
from certlip.blocks.activations import ReLU
from certlip.blocks.strided import convolution_blocks
from certlip.errors import InputError
from certlip.layers.base import followed_by, positive_sizes, require_finite
from certlip.layers.boxed.base import BoxLayer
from certlip.layers.boxed.norm import Norm
from certlip.linalg.boxes import Boxes


class Unit(BoxLayer):
    """What both kinds share.

    Args:
        weight: Its shape.
        norm, relu: Whether they follow.
    """

    def __init__(self, weight: tuple[int, ...], *, norm: bool, relu: bool) -> None:
        super().__init__()
        fan_in = math.prod(weight[1:])
        self.weight = nn.Parameter(torch.randn(weight) * (math.sqrt(2.0 * math.pi) / fan_in))
        self.bias = nn.Parameter(torch.zeros(weight[0]))
        self.norm = Norm(weight[0]) if norm else None
        self.relu = relu

    @abstractmethod
    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor: ...

    @abstractmethod
    def block(self, weight: Tensor, bias: Tensor) -> list[Block]: ...

    def forward(self, x: Tensor) -> Tensor:
        v = self.linear(x, self.weight, self.bias)
        if self.norm is not None:
            scale, shift = self.norm.map(v)
            v = v * scale + shift
        return v.relu() if self.relu else v

    def boxes(self, boxes: Boxes) -> Boxes:
        weight, size = self.weight, self.weight.abs()
        boxes = boxes.affine(
            lambda x: self.linear(x, weight, self.bias), lambda r: self.linear(r, size, None)
        )
        if self.norm is not None:
            boxes = boxes.scaled(*self.norm.map(boxes.x))
        boxes = boxes.measured()
        return boxes.activated(torch.relu) if self.relu else boxes

    def freeze(self) -> list[Block]:
        """Normalisation becomes a part of the weights: one rounding of each in float64."""
        W, b = (p.detach().double().cpu() for p in (self.weight, self.bias))
        if self.norm is not None:
            scale, shift = self.norm.frozen()
            W, b = W * scale.reshape(-1, *[1] * (W.ndim - 1)), scale * b + shift
        for name, value in (("weight", W), ("bias", b)):
            require_finite("boxed", name, value)
        *before, last = self.block(W, b)
        return [*before, *followed_by(ReLU() if self.relu else None, last)]


class DenseUnit(Unit):
    """R^d → R^q on rows (batch, d); images are flattened first.

    Raises:
        InputError: a size below 1.
    """

    def __init__(self, d: int, q: int, *, norm: bool = False, relu: bool = True) -> None:
        positive_sizes("dense", d=d, q=q)
        super().__init__((q, d), norm=norm, relu=relu)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))

    def boxes(self, boxes: Boxes) -> Boxes:
        return super().boxes(boxes.reshaped(lambda x: x.flatten(1)))

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    def block(self, weight: Tensor, bias: Tensor) -> list[Block]:
        return [Affine(weight, bias)]


class ConvUnit(Unit):
    """A convolution from c to q channels on images of one size, `side` × `side` taps, zero padding on
    all sides. `out` is the size of the images that it gives.

    Raises:
        InputError: a size below 1, or nothing comes out.
    """

    def __init__(
        self,
        c: int,
        q: int,
        image: tuple[int, int],
        side: int = 3,
        *,
        stride: int = 1,
        padding: int = 1,
        norm: bool = False,
    ) -> None:
        positive_sizes("convolution", c=c, q=q, side=side, stride=stride)
        height, width = ((s + 2 * padding - side) // stride + 1 for s in image)
        if min(height, width) < 1:
            raise InputError(
                f"convolution layer with {side}×{side} taps and padding {padding}: larger than the "
                f"image of {image[0]}×{image[1]} pixels"
            )
        super().__init__((q, c, side, side), norm=norm, relu=True)
        self.image, self.stride, self.padding = image, stride, padding
        self.out = height, width

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, stride=self.stride, padding=self.padding)

    def block(self, weight: Tensor, bias: Tensor) -> list[Block]:
        p, s = self.padding, self.stride
        return convolution_blocks(weight, bias, self.image, stride=(s, s), padding=(p, p, p, p))
