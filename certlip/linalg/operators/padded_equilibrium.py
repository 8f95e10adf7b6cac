"""W of an LBEN on images that end in zeros, by its convolutions; n × n numbers are never formed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from certlip.linalg.operators.base import Operator


class PaddedOperator(Operator):
    """W = I − ΨF,  F = GᵀG/(2L) + Ψ⁻¹ŪŪᵀΨ⁻¹/(2L) + AᵀA + mI + Bᵀ − B on flat images (batch, n·H·W).

    Args:
        psi: (n, H, W), positive.
        U, A, B: Kernels (n, c, ·, ·), (a, n, ·, ·), (n, n, ·, ·) with odd sides.
        G: (q, n·H·W).
        m, lip: Positive numbers.
    """

    def __init__(
        self, psi: Tensor, U: Tensor, A: Tensor, B: Tensor, G: Tensor, m: float, lip: float
    ) -> None:
        self.psi, self.U, self.A, self.B, self.G = psi, U, A, B, G
        self.m, self.lip = m, lip
        self.out_width = self.in_width = psi.numel()

    @property
    def dtype(self) -> torch.dtype:
        return self.psi.dtype

    @property
    def device(self) -> torch.device:
        return self.psi.device

    @property
    def requires_grad(self) -> bool:
        return False

    def apply(self, x: Tensor) -> Tensor:
        psi = self.psi.flatten()
        return x - psi * (self.symmetric(x) + self._skew(x))

    def adjoint(self, y: Tensor) -> Tensor:
        scaled = self.psi.flatten() * y
        return y - (self.symmetric(scaled) - self._skew(scaled))

    def symmetric(self, z: Tensor) -> Tensor:
        """(F + Fᵀ)z/2 per row."""
        image = z.unflatten(1, self.psi.shape)
        all_pixels = tuple(k - 1 for k in self.A.shape[2:])
        Az = F.conv2d(image, self.A, padding=all_pixels)
        AAz = F.conv_transpose2d(Az, self.A, padding=all_pixels)
        grams = self.output_gram(z) + self.input_gram(z)
        return (AAz + self.m * image).flatten(1) + grams / (2.0 * self.lip)

    def output_gram(self, z: Tensor) -> Tensor:
        """GᵀGz per row."""
        return (z @ self.G.mT) @ self.G

    def input_gram(self, z: Tensor) -> Tensor:
        """Ψ⁻¹ŪŪᵀΨ⁻¹z per row."""
        image = z.unflatten(1, self.psi.shape) / self.psi
        return (F.conv2d(F.conv_transpose2d(image, self.U), self.U) / self.psi).flatten(1)

    def _skew(self, z: Tensor) -> Tensor:
        """(Bᵀ − B)z per row."""
        image = z.unflatten(1, self.psi.shape)
        same = tuple(k // 2 for k in self.B.shape[2:])
        BBz = F.conv_transpose2d(image, self.B, padding=same) - F.conv2d(
            image, self.B, padding=same
        )
        return BBz.flatten(1)

    def blocks(self) -> Tensor:
        raise ValueError("W of a padded equilibrium is no direct sum of small blocks")

    def from_blocks(self, blocks: Tensor) -> Operator:
        del blocks
        raise ValueError("W of a padded equilibrium is no direct sum of small blocks")

    def detach(self) -> PaddedOperator:
        return self
