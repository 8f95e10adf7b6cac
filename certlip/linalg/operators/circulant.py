"""Multi-channel convolution with circular padding, by its spectrum: one c × c block per frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.linalg.operators.base import Operator
from certlip.linalg.torus import Torus


class Circulant(Operator):
    """The convolution on a torus with half spectrum K̂ (F, o, i); any kernel size costs the same."""

    def __init__(self, spectrum: Tensor, torus: Torus) -> None:
        self.K, self.torus = spectrum, torus
        self.repeat = torus.pixels
        self.out_width = spectrum.shape[1] * torus.pixels
        self.in_width = spectrum.shape[2] * torus.pixels

    @classmethod
    def of(cls, kernel: Tensor, torus: Torus) -> Circulant:
        """The convolution with a kernel (o, i, kh, kw)."""
        return cls(torus.spectrum(kernel), torus)

    @property
    def dtype(self) -> torch.dtype:
        return torch.empty(0, dtype=self.K.dtype).real.dtype

    @property
    def device(self) -> torch.device:
        return self.K.device

    @property
    def requires_grad(self) -> bool:
        return self.K.requires_grad

    def apply(self, x: Tensor) -> Tensor:
        return self._through(x, self.K.mT)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._through(y, self.K.conj())

    def blocks(self) -> Tensor:
        return self.K

    def from_blocks(self, blocks: Tensor) -> Circulant:
        return Circulant(blocks, self.torus)

    def detach(self) -> Circulant:
        return Circulant(self.K.detach(), self.torus)

    def _through(self, x: Tensor, right: Tensor) -> Tensor:
        torus = self.torus
        spectrum = torus.transform(torus.to_pixels(x)) @ right
        return torus.from_pixels(torus.inverse(spectrum))
