"""y = G ∗ z + b_y, z = σ(W ∗ z + U ∗ x + b_z) on a torus: equation (1) with convolutions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.blocks.base import checked, expect_shape
from certlip.blocks.equilibrium import Origin
from certlip.blocks.image import (
    ImageBlock,
    channel_sigma,
    check_channels,
    check_image,
    checked_kernel,
)


@dataclass(frozen=True, eq=False)
class ConvEquilibrium(ImageBlock):
    """Kernels W (n, n, ·, ·), U (n, c, ·, ·), G (q, n, ·, ·) with circular padding, each of its own
    size; b_z (n), b_y (q) and σ per channel. Multipliers of its origin are per channel, (n,).
    """

    W: Tensor
    U: Tensor
    G: Tensor
    b_z: Tensor
    b_y: Tensor
    sigma: Sigma
    height: int
    width: int
    origin: Origin | None = None

    kind = "conv-equilibrium"
    array_names = ("W", "U", "G", "b_z", "b_y")
    plain_names = ("height", "width")
    has_sigma = True

    def __post_init__(self) -> None:
        check_image(self.kind, self.height, self.width)
        for name in ("W", "U", "G"):
            kernel = checked_kernel(self.kind, name, getattr(self, name), self.height, self.width)
            object.__setattr__(self, name, kernel)
        for name in ("b_z", "b_y"):
            object.__setattr__(self, name, checked(self.kind, name, getattr(self, name), ndim=1))
        n, c, q = self.W.shape[0], self.U.shape[1], self.G.shape[0]
        rows = f"W has {n} rows"
        expect_shape(self.kind, "W", self.W, (n, n, *self.W.shape[2:]), "W is square")
        expect_shape(self.kind, "U", self.U, (n, c, *self.U.shape[2:]), rows)
        expect_shape(self.kind, "G", self.G, (q, n, *self.G.shape[2:]), rows)
        expect_shape(self.kind, "b_z", self.b_z, (n,), rows)
        expect_shape(self.kind, "b_y", self.b_y, (q,), f"G has {q} rows")
        check_channels(self.kind, self.sigma, n, self.pixels)

    @property
    def in_width(self) -> int:
        return self.U.shape[1] * self.pixels

    @property
    def out_width(self) -> int:
        return self.G.shape[0] * self.pixels

    @property
    def n(self) -> int:
        """The number of hidden channels."""
        return self.W.shape[0]

    def describe(self) -> str:
        sigma = channel_sigma(self.sigma, self.pixels)
        return (
            f"{self.U.shape[1]} → {self.G.shape[0]} channels, {self.height}×{self.width}, "
            f"n = {self.n} channels, {sigma}"
        )
