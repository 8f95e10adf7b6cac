"""y = x − 2 Kᵀ ∗ (D σ(K ∗ x + b)): the frozen form of convolutional SLL and CPL layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.blocks.base import checked, expect_shape
from certlip.blocks.image import (
    ImageBlock,
    channel_sigma,
    check_channels,
    check_image,
    checked_kernel,
)
from certlip.errors import InputError


@dataclass(frozen=True, eq=False)
class ConvResidual(ImageBlock):
    """K (k, c, kh, kw), D (k) ≥ 0, b (k); Kᵀ is the exact adjoint. 1-Lipschitz if D K Kᵀ D ⪯ D.

    In the letters of the dense block, K is Wᵀ. σ has one kind per channel.
    """

    K: Tensor
    D: Tensor
    b: Tensor
    sigma: Sigma
    height: int
    width: int
    padding: str

    kind = "conv-residual"
    array_names = ("K", "D", "b")
    plain_names = ("height", "width", "padding")
    has_sigma = True

    def __post_init__(self) -> None:
        check_image(self.kind, self.height, self.width, self.padding)
        kernel = checked_kernel(self.kind, "K", self.K, self.height, self.width)
        object.__setattr__(self, "K", kernel)
        k = self.K.shape[0]
        for name in ("D", "b"):
            object.__setattr__(self, name, checked(self.kind, name, getattr(self, name), ndim=1))
            expect_shape(self.kind, name, getattr(self, name), (k,), "one entry per row of K")
        if not bool((self.D >= 0).all()):
            i = int(self.D.argmin())
            raise InputError(f"conv-residual block: D[{i}] = {self.D[i].item()}: expected ≥ 0")
        check_channels(self.kind, self.sigma, k, self.pixels)

    @property
    def in_width(self) -> int:
        return self.K.shape[1] * self.pixels

    @property
    def out_width(self) -> int:
        return self.in_width

    def describe(self) -> str:
        k, c, kh, kw = self.K.shape
        sigma = channel_sigma(self.sigma, self.pixels)
        return f"{c} channels, {self.height}×{self.width}, {k} inner, {kh}×{kw} {self.padding}, {sigma}"
