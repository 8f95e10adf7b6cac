"""Average pooling that is 1-Lipschitz: sums of k × k windows divided by k."""

from __future__ import annotations

from dataclasses import dataclass

from certlip.blocks.base import check_counts
from certlip.blocks.image import ImageBlock, check_image
from certlip.errors import InputError


@dataclass(frozen=True, eq=False)
class Pooling(ImageBlock):
    """Windows of `window` × `window` pixels without overlap, their sum divided by `window`.

    The rows of its matrix are orthonormal (k² entries of 1/k), so its norm is exactly 1.
    """

    channels: int
    height: int
    width: int
    window: int

    kind = "pooling"
    plain_names = ("channels", "height", "width", "window")

    def __post_init__(self) -> None:
        check_image(self.kind, self.height, self.width)
        check_counts(self.kind, channels=self.channels, window=self.window)
        if self.height % self.window or self.width % self.window:
            raise InputError(
                f"pooling block: windows of {self.window} do not divide an image of "
                f"{self.height}×{self.width} pixels"
            )

    @property
    def in_width(self) -> int:
        return self.channels * self.pixels

    @property
    def out_width(self) -> int:
        return self.in_width // self.window**2

    def describe(self) -> str:
        return f"{self.channels} channels, {self.height}×{self.width}, windows of {self.window}"
