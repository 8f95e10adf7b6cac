"""What the convolutional residual layers share: y = x − 2 Kᵀ ∗ (T⁻¹ σ(K ∗ x + b))."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, TypedDict

import torch
from torch import Tensor, nn

from certlip.blocks.activations import ActivationKind, ReLU
from certlip.layers.base import checked_activation, positive_sizes
from certlip.layers.image import ConvLayer
from certlip.linalg.operators.stencil import correlate, correlate_adjoint


class ResidualOptions(TypedDict, total=False):
    """The options of `ResidualConv`."""

    size: int | tuple[int, int]
    padding: str
    activation: ActivationKind | None


class ResidualConv(ConvLayer):
    """A residual layer on images of c channels with k hidden channels.

    Args:
        c: Channels of input and output.
        k: Hidden channels.
        image: (height, width).
        size: Taps of the kernel, (kh, kw) or one number for both.
        padding: `circular` or `zero`.
        activation: σ, with slopes in [0, 1]; ReLU by default.

    Raises:
        InputError: a size below 1, a kernel larger than the image, another padding or activation.
    """

    family: ClassVar[str]

    def __init__(
        self,
        c: int,
        k: int,
        image: tuple[int, int],
        *,
        size: int | tuple[int, int] = 3,
        padding: str = "circular",
        activation: ActivationKind | None = None,
    ) -> None:
        positive_sizes(self.family, c=c, k=k)
        super().__init__(self.family, k, c, image, size, padding)
        self.activation = checked_activation(self.family, activation or ReLU())
        self.bias = nn.Parameter(torch.zeros(k))

    @abstractmethod
    def scaled(self) -> Tensor:
        """−2T⁻¹K: the scaling goes into the kernel, which has far fewer entries than the images."""

    def forward(self, x: Tensor) -> Tensor:
        s = self.activation.forward(correlate(x, self.kernel, self.padding, self.bias))
        return x + correlate_adjoint(s, self.derived(self.scaled), self.padding)
