"""The two-dimensional discrete Fourier transform on a small torus, as matrix products.

Convolution with circular padding is diagonal in it: y[p] = Σ_t K[t] x[p + t] becomes ŷ(f) = K̂(f)x̂(f) with
K̂(f) = Σ_t K[t] e^{2πi f·t/N} and x̂(f) = Σ_p x[p] e^{−2πi f·p/N}: one small complex block per frequency
(equation (25) of Havens et al., 2023). Real arrays need half of the frequencies. Products with rounded
DFT matrices are as fast as a fast transform at these sizes, have a known error bound, and leave every
array in the layout that the product per frequency wants.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from certlip.errors import InputError


@dataclass(frozen=True)
class Torus:
    """Images of `height` × `width` pixels that wrap around.

    Layouts: flat (batch, c·H·W), channel by channel; pixels (H, W, batch, c); spectrum (F, batch, c)
    complex, F = (⌊H/2⌋ + 1)·W frequencies.

    Raises:
        InputError: a side below 1.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise InputError(f"image of {self.height}×{self.width} pixels: expected at least 1×1")

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def frequencies(self) -> int:
        return (self.height // 2 + 1) * self.width

    def to_pixels(self, x: Tensor) -> Tensor:
        """(batch, c·H·W) → (H, W, batch, c)."""
        return x.unflatten(1, (-1, self.height, self.width)).permute(2, 3, 0, 1)

    def from_pixels(self, x: Tensor) -> Tensor:
        """(H, W, batch, c) → (batch, c·H·W)."""
        return x.permute(2, 3, 0, 1).reshape(x.shape[2], x.shape[3] * self.pixels)

    def transform(self, x: Tensor) -> Tensor:
        """x̂ (F, batch, c) of pixels x (H, W, batch, c)."""
        rows, columns = _analysis(self, x.dtype, x.device)
        h, w = self.height // 2 + 1, self.width
        halves = rows @ x.reshape(self.height, -1)  # cosines, then minus sines
        half = torch.complex(halves[:h], halves[h:]).reshape(h, w, -1)
        return torch.matmul(columns, half).reshape(h * w, *x.shape[2:])

    def inverse(self, x: Tensor) -> Tensor:
        """Pixels (H, W, batch, c) of a half spectrum (F, batch, c)."""
        real = torch.empty(0, dtype=x.dtype).real.dtype
        rows, columns = _synthesis(self, real, x.device)
        h, w = self.height // 2 + 1, self.width
        half = torch.matmul(columns, x.reshape(h, w, -1)).reshape(h, -1)
        pixels = rows @ torch.cat([half.real, half.imag])
        return pixels.reshape(self.height, w, *x.shape[1:])

    def norm(self, x: Tensor) -> Tensor:
        """‖x‖ per row, (batch,), of the real images with the half spectrum x (F, batch, c) (Parseval)."""
        twice = multiplicity(self.height, x.real.dtype, x.device)
        energy = torch.view_as_real(x).square().sum(dim=(2, 3))  # (F, batch)
        energy = twice @ energy.reshape(len(twice), -1)
        return (energy.reshape(self.width, -1).sum(dim=0) / self.pixels).sqrt()

    def spectrum(self, K: Tensor) -> Tensor:
        """K̂ (F, o, i) of a kernel K (o, i, kh, kw), anchored as by `anchor`; differentiable."""
        o, i, kh, kw = K.shape
        rows, columns = _taps(self, kh, kw, K.dtype, K.device)
        along = K.to(columns.dtype).reshape(-1, kw) @ columns.mT  # (o·i·kh, W)
        along = along.reshape(o * i, kh, self.width).permute(1, 2, 0).reshape(kh, -1)
        return (rows @ along).reshape(self.frequencies, o, i)

    def kernel(self, spectrum: Tensor, kh: int | None = None, kw: int | None = None) -> Tensor:
        """The kernel (o, i, kh, kw) with this half spectrum, of the size of the image unless given.

        A smaller one is what is left when all further taps are left out.
        """
        kh, kw = kh or self.height, kw or self.width
        taps = self.inverse(spectrum).permute(2, 3, 0, 1)  # tap t at pixel −t
        rows = (anchor(kh) - torch.arange(kh, device=taps.device)) % self.height
        columns = (anchor(kw) - torch.arange(kw, device=taps.device)) % self.width
        return taps[:, :, rows[:, None], columns]


def anchor(k: int) -> int:
    """Which tap of a kernel of length k sits on the pixel itself: the middle, or just before it."""
    return (k - 1) // 2


def angles(n: int, m: int, shift: int) -> Tensor:
    """2π·f(t − shift)/n for f < n and t < m, with the product reduced modulo n first."""
    whole = torch.outer(torch.arange(n), torch.arange(m) - shift) % n
    return whole.double() * (2.0 * math.pi / n)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def multiplicity(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """How many of n frequencies each of the half spectrum stands for: all but 0 and n/2 for two."""
    twice = torch.full((n // 2 + 1,), 2.0, dtype=torch.float64)
    twice[0] = 1.0
    if n % 2 == 0:
        twice[-1] = 1.0
    return twice.to(device, dtype)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is cached may be in a graph later on
def _analysis(torus: Torus, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Real (2H', H) and complex (W, W) matrices of the forward transform."""
    first = angles(torus.height, torus.height, 0)[: torus.height // 2 + 1]
    second = angles(torus.width, torus.width, 0)
    rows = torch.cat([first.cos(), -first.sin()])
    return rows.to(device, dtype), torch.polar(torch.ones_like(second), -second).to(
        device, dtype.to_complex()
    )


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is cached may be in a graph later on
def _synthesis(torus: Torus, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Real (H, 2H') and complex (W, W) matrices of the inverse transform."""
    n = torus.height
    first = angles(n, n, 0)[: n // 2 + 1]
    twice = multiplicity(n, torch.float64, torch.device("cpu"))[:, None]
    rows = torch.cat([twice * first.cos(), -twice * first.sin()]).mT / n
    second = angles(torus.width, torus.width, 0)
    columns = torch.polar(torch.ones_like(second), second) / torus.width
    return rows.contiguous().to(device, dtype), columns.to(device, dtype.to_complex())


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is cached may be in a graph later on
def _taps(
    torus: Torus, kh: int, kw: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Complex (H', kh) and (W, kw) matrices of the transform of a kernel."""
    first = angles(torus.height, kh, anchor(kh))[: torus.height // 2 + 1]
    second = angles(torus.width, kw, anchor(kw))
    ones = torch.ones_like
    rows, columns = torch.polar(ones(first), first), torch.polar(ones(second), second)
    return rows.to(device, dtype.to_complex()), columns.to(device, dtype.to_complex())
