"""Convolutions whose rounding error is bounded: direct, or by frequencies for large kernels.

Only matrix products, which have an a-priori bound whatever the order of their sums: ‖fl(Ax) − Ax‖ ≤
γ_k ‖|A|‖₂‖x‖ for an inner length k. A library's convolution or FFT may be computed by an algorithm of
another accuracy.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from certlip.certification.enclosure.base import Map
from certlip.certification.enclosure.by_frequency import ByFrequency
from certlip.certification.enclosure.frame import Frame, by_columns
from certlip.certification.enclosure.near import Near
from certlip.linalg.operators import DIRECT_TAPS
from certlip.linalg.rigorous import spectral_norm
from certlip.linalg.rigorous.rounding import TINY, gamma, norm_up, sum_up, up
from certlip.linalg.torus import anchor


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
