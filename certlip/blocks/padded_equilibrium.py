"""An LBEN on images that end in zeros, by its parameters: W itself would be a huge matrix.

    W = I − Ψ(GᵀG/(2L) + Ψ⁻¹ŪŪᵀΨ⁻¹/(2L) + AᵀA + mI + Bᵀ − B),   m > 0,   L = lip > 0            (7)
    z = σ(Wz + Ux + b_z),   y = Gz + b_y

U, A and B are convolutions with stride 1. Beyond the image there are zeros: U and B give images of the same
size; A gives all pixels that its kernel reaches, so AᵀA has the same taps at every pixel; Ū is U with the
pixels that its kernel reads beyond the image as inputs of their own, so ŪŪᵀ has too and ŪŪᵀ ⪰ UUᵀ. W is
defined by this formula in real arithmetic: what is stored are the parameters.
Source: Revay, Wang & Manchester, arXiv:2010.01732, (7) of Havens et al. (2023).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.blocks.base import checked, expect_shape
from certlip.blocks.image import ImageBlock, channel_sigma, check_channels, checked_kernel
from certlip.errors import InputError


@dataclass(frozen=True, eq=False)
class PaddedEquilibrium(ImageBlock):
    """Ψ = diag(psi), psi (n, H, W) > 0; kernels U (n, c, ·, ·), A (a, n, ·, ·), B (n, n, ·, ·) with odd
    sides; G (q, n·H·W) dense; b_z (n) and σ per channel, b_y (q); scalars m and lip > 0."""

    psi: Tensor
    U: Tensor
    A: Tensor
    B: Tensor
    G: Tensor
    b_z: Tensor
    b_y: Tensor
    m: float
    lip: float
    sigma: Sigma

    kind = "padded-equilibrium"
    array_names = ("psi", "U", "A", "B", "G", "b_z", "b_y")
    plain_names = ("m", "lip")
    has_sigma = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "psi", checked(self.kind, "psi", self.psi, ndim=3))
        n, H, W = self.psi.shape
        if not bool((self.psi > 0.0).all()):
            raise InputError(
                f"{self.kind} block: psi has an entry {float(self.psi.min())}: expected positive ones"
            )
        object.__setattr__(self, "height", H)
        object.__setattr__(self, "width", W)
        for name in ("U", "A", "B"):
            kernel = checked_kernel(self.kind, name, getattr(self, name), H, W)
            if kernel.shape[2] % 2 == 0 or kernel.shape[3] % 2 == 0:
                raise InputError(
                    f"{self.kind} block: {name} has {kernel.shape[2]}×{kernel.shape[3]} taps: "
                    "expected odd numbers"
                )
            object.__setattr__(self, name, kernel)
        object.__setattr__(self, "G", checked(self.kind, "G", self.G, ndim=2))
        for name in ("b_z", "b_y"):
            object.__setattr__(self, name, checked(self.kind, name, getattr(self, name), ndim=1))
        channels = f"psi has {n} channels"
        expect_shape(self.kind, "U", self.U, (n, *self.U.shape[1:]), channels)
        expect_shape(self.kind, "A", self.A, (self.A.shape[0], n, *self.A.shape[2:]), channels)
        expect_shape(self.kind, "B", self.B, (n, n, *self.B.shape[2:]), channels)
        expect_shape(self.kind, "b_z", self.b_z, (n,), channels)
        expect_shape(self.kind, "G", self.G, (self.G.shape[0], self.n), "one column per state")
        expect_shape(self.kind, "b_y", self.b_y, (self.G.shape[0],), "one entry per row of G")
        for name in ("m", "lip"):
            value = getattr(self, name)
            if not isinstance(value, float) or not 0.0 < value < float("inf"):
                raise InputError(
                    f"{self.kind} block: {name} = {value!r}: expected a positive finite number"
                )
        check_channels(self.kind, self.sigma, n, self.pixels)

    @property
    def in_width(self) -> int:
        return self.U.shape[1] * self.pixels

    @property
    def out_width(self) -> int:
        return self.G.shape[0]

    @property
    def n(self) -> int:
        """The number of hidden states, all pixels of all channels."""
        return self.psi.numel()

    def describe(self) -> str:
        sigma = channel_sigma(self.sigma, self.pixels)
        return (
            f"{self.U.shape[1]} channels → {self.out_width}, {self.height}×{self.width}, "
            f"n = {self.psi.shape[0]} channels, {sigma}"
        )
