"""Convolutions whose rounding error is bounded: direct, or by frequencies for large kernels.

Only matrix products, which have an a-priori bound whatever the order of their sums: ‖fl(Ax) − Ax‖ ≤
γ_k ‖|A|‖₂‖x‖ for an inner length k. A library's convolution or FFT may be computed by an algorithm of
another accuracy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from certlip.certification.enclosure.frame import Frame, by_columns
from certlip.certification.enclosure.near import Near
from certlip.certification.enclosure.side_by_side import product
from certlip.linalg.operators import DIRECT_TAPS
from certlip.linalg.rigorous import spectral_norm
from certlip.linalg.rigorous.ball import Ball, joined
from certlip.linalg.rigorous.frequencies import Spectrum, chunks, real_form
from certlip.linalg.rigorous.roots import roots_of_unity
from certlip.linalg.rigorous.rounding import TINY, gamma, norm_up, sum_up, up
from certlip.linalg.torus import anchor


class Map(ABC):
    """A convolution without bias; `numbers` is how many numbers a row of its largest array has."""

    numbers: int

    @abstractmethod
    def __call__(self, x: Near) -> Near: ...


def convolution_map(
    K: np.ndarray, height: int, width: int, padding: str, *, adjoint: bool = False
) -> Map:
    """x ↦ K ∗ x on images, or its exact adjoint, for K (o, i, kh, kw)."""
    if padding == "circular" and K.shape[2] * K.shape[3] > DIRECT_TAPS:
        return ByFrequency(K, height, width, adjoint=adjoint)
    return Direct(K, height, width, padding, adjoint=adjoint)


class Direct(Map):
    """y[p] = Σ_t K[t] x[p + t − a]: a matrix product per tap, summed up in place.

    Images lie with the rows of the batch innermost, in a `Frame` that continues them to all sides: there
    the tap t is an offset, and its product one of K[t] with a slice.
    """

    def __init__(
        self, K: np.ndarray, height: int, width: int, padding: str, *, adjoint: bool = False
    ) -> None:
        before = [anchor(k) for k in K.shape[2:]]
        after = [k - 1 - a for k, a in zip(K.shape[2:], before, strict=True)]
        if adjoint:  # x[p] = Σ_t K[t]ᵀ y[p − t + a]: the kernel turned, and its anchor with it
            K, before, after = K[:, :, ::-1, ::-1].swapaxes(0, 1), after, before
        o, i, kh, kw = K.shape
        self.frame = Frame(height, width, (before[0], after[0]), (before[1], after[1]), padding)
        self.taps = [
            (self.frame.offset(r, c), torch.from_numpy(np.ascontiguousarray(K[:, :, r, c])))
            for r in range(kh)
            for c in range(kw)
        ]
        self.o, self.i, self.terms = o, i, i * kh * kw
        self.numbers = max(o, i) * self.frame.pixels
        # ‖|K|‖₂: on a torus attained by constant images, with zero padding no more than that
        self.size = spectral_norm(sum_up(np.abs(K).reshape(o, i, -1))).value

    def __call__(self, x: Near) -> Near:
        y = by_columns(self._columns, self.numbers, self.o * self.frame.inside, x.v)
        own = up(up(gamma(self.terms) * self.size) * norm_up(x.v)) + TINY
        return Near(y, up(up(self.size * x.error) + own))

    def _columns(self, x: Tensor) -> Tensor:
        return self.summed(self.frame.around(x)).contiguous()

    def summed(self, framed: Tensor, b: Tensor | None = None) -> Tensor:
        """K ∗ x (o, H, W, batch) for framed images (i, ·, ·, batch), plus b (o), which may be left out."""
        batch = framed.shape[-1]
        x = framed.reshape(self.i, -1)
        first, last = self.taps[0], self.taps[-1][0] * batch
        y = torch.empty(self.o, x.shape[1], dtype=x.dtype)
        filled = y[:, : x.shape[1] - last]
        if b is None:
            torch.mm(first[1], x[:, : filled.shape[1]], out=filled)
        else:
            filled.copy_(b[:, None].expand_as(filled))
        for offset, K in self.taps[b is None :]:
            start = offset * batch
            filled.addmm_(K, x[:, start : start + filled.shape[1]])
        return self.frame.corner(y.reshape(self.o, *self.frame.shape, batch))


class ByFrequency(Map):
    """Transform, one product per frequency, transform back: the same work for any kernel size.

    Of an image only the half spectrum is computed. The exact maps have known norms: √(HW) forward,
    √(2/(HW)) backward, where all but the frequencies 0 and H/2 count twice.
    """

    def __init__(self, K: np.ndarray, height: int, width: int, *, adjoint: bool = False) -> None:
        self.height, self.width, self.half = height, width, height // 2 + 1
        self.spectrum, self.adjoint = Spectrum(K, height, width), adjoint
        o, i = K.shape[:2]
        self.o, self.i = (i, o) if adjoint else (o, i)
        self.numbers = 2 * max(o, i) * 2 * self.half * width
        cos, sin = (part[: self.half] for part in _table(height))
        self.rows = _Step.of(joined(cos, -sin, axis=0), np.sqrt(height))
        # every frequency but 0 and H/2 stands for itself and its conjugate
        f = np.arange(self.half)
        twice = np.where((f == 0) | (2 * f == height), 1.0, 2.0)[:, None]
        self.rows_back = _Step.of(
            joined(cos * twice, -sin * twice, axis=0).T / height, np.sqrt(2 / height)
        )
        cos, sin = _table(width)
        self.columns = _Step.of(real_form(cos, -sin), np.sqrt(width))
        self.columns_back = _Step.of(real_form(cos, sin) / width, np.sqrt(1 / width))
        self.blocks = _Step.per_frequency(self.spectrum)

    def __call__(self, x: Near) -> Near:
        H, W, half, batch = self.height, self.width, self.half, len(x.v)
        # layouts (H, W, channels, batch) of pixels and (H′, 2, W, channels, batch) of spectra
        v = x.v.reshape(batch, self.i, H, W).transpose(2, 3, 1, 0).reshape(H, -1)
        v, error = self.rows(v, x.error)
        v = v.reshape(2, half, -1).swapaxes(0, 1).reshape(half, 2 * W, -1)
        v, error = self.columns(v, error)
        v = v.reshape(half, 2, W, self.i, batch).swapaxes(1, 2).reshape(half * W, -1, batch)
        y = np.empty((half * W, 2 * self.o, batch))
        for f in chunks(len(y), self.o * self.i):
            K = self.spectrum.blocks(f).mid
            y[f] = product(K.swapaxes(-1, -2) if self.adjoint else K, v[f])
        error = self.blocks.error(v, error)
        y = y.reshape(half, W, 2, -1).swapaxes(1, 2).reshape(half, 2 * W, -1)
        y, error = self.columns_back(y, error)
        y = y.reshape(half, 2, -1).swapaxes(0, 1).reshape(2 * half, -1)
        y, error = self.rows_back(y, error)
        y = y.reshape(H, W, self.o, batch).transpose(3, 2, 0, 1)
        return Near(np.ascontiguousarray(y).reshape(batch, -1), error)


@dataclass(frozen=True)
class _Step:
    """One exact linear map and its computed matrix.

    `norm` bounds the norm of the exact map, `blur` what its product with a computed v is off by, relative
    to ‖v‖: γ_k‖|A|‖₂ for the product and ‖R‖₂ for the matrix itself.
    """

    A: np.ndarray
    norm: float
    blur: float

    @classmethod
    def of(cls, A: Ball, norm: float) -> _Step:
        """`norm`: the known norm of the exact matrix in the ball, computed."""
        k = A.shape[-1]
        return cls(A.mid, float(up(norm)), _blur(_size(np.abs(A.mid)), k, _size(A.radius())))

    @classmethod
    def per_frequency(cls, spectrum: Spectrum) -> _Step:
        """The blocks K̂(f) all together; a real form has the rows of |A| + |B| twice."""
        size = _size(up(np.abs(spectrum.A) + np.abs(spectrum.B)))
        error = 2.0 * _size(spectrum.rad)
        k = 2 * max(spectrum.rad.shape)
        return cls(np.empty(0), float(up(size + error)), _blur(size, k, error))

    def __call__(self, v: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return product(self.A, v), self.error(v, error)

    def error(self, v: np.ndarray, error: np.ndarray) -> np.ndarray:
        """The error after the product of v (…, batch), which is off by `error` (batch,) before."""
        size = norm_up(v.reshape(-1, len(error)), axis=0)
        return up(up(self.norm * error) + up(self.blur * size)) + TINY


def _blur(size: float, k: int, error: float) -> float:
    return float(up(up(gamma(k) * size) + error))


def _size(size: np.ndarray) -> float:
    """√(largest row sum · largest column sum) of nonnegative matrices: bounds their ‖·‖₂."""
    return float(up(np.sqrt(up(sum_up(size, axis=-1).max() * sum_up(size, axis=-2).max()) + TINY)))


def _table(n: int) -> tuple[Ball, Ball]:
    """cos and sin of 2πjk/n, (n, n), the product reduced modulo n exactly."""
    k = np.outer(np.arange(n), np.arange(n)) % n
    cos, sin = roots_of_unity(n)
    return cos[k], sin[k]
