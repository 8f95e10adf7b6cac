"""y = K ∗ x + b on images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from certlip.blocks.base import checked, expect_shape
from certlip.blocks.image import ImageBlock, check_image, checked_kernel


@dataclass(frozen=True, eq=False)
class Convolution(ImageBlock):
    """A convolution with stride 1, K (o, i, kh, kw), b (o), that keeps the size of the image.

    Lipschitz constant: the largest block norm over the frequencies of its torus; with zero padding over
    those of a torus that is larger by the reach of the kernel.
    """

    K: Tensor
    b: Tensor
    height: int
    width: int
    padding: str

    kind = "convolution"
    array_names = ("K", "b")
    plain_names = ("height", "width", "padding")

    def __post_init__(self) -> None:
        check_image(self.kind, self.height, self.width, self.padding)
        kernel = checked_kernel(self.kind, "K", self.K, self.height, self.width)
        object.__setattr__(self, "K", kernel)
        object.__setattr__(self, "b", checked(self.kind, "b", self.b, ndim=1))
        expect_shape(self.kind, "b", self.b, (self.K.shape[0],), "one entry per output channel")

    @property
    def in_width(self) -> int:
        return self.K.shape[1] * self.pixels

    @property
    def out_width(self) -> int:
        return self.K.shape[0] * self.pixels

    def describe(self) -> str:
        o, i, kh, kw = self.K.shape
        return f"{i} → {o} channels, {self.height}×{self.width}, {kh}×{kw} {self.padding}"
