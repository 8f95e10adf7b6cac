"""Enclosure of the blocks K̂(f) of a convolution on a torus, in real form.

A circular convolution with a kernel K (o, i, kh, kw) is, up to a unitary change of basis, the direct sum
of K̂(f) = Σ_t K[t] e^{2πi f·(t − a)/N} = A(f) + iB(f), equation (25) of Havens et al. (2023). Real kernels
have K̂(−f) = conj K̂(f): half of the frequencies say all. The real form [[A, −B], [B, A]] turns conjugate
transposes into transposes, products into products, Hermitian definite matrices into symmetric definite
ones, and has the norm of K̂.

Zero padding at stride 1 is a part of the circular convolution on a torus that is larger by the reach
of the kernel: what a pixel reads beyond the image is then zero, from whichever side it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from certlip.linalg.rigorous.ball import Ball, joined
from certlip.linalg.rigorous.bounds import UpperBound
from certlip.linalg.rigorous.roots import roots_of_unity
from certlip.linalg.rigorous.spectral import spectral_norm
from certlip.linalg.torus import anchor

#: Numbers in an array of one chunk of frequencies: such arrays stay in the processor's cache.
CHUNK = 2**17
#: Numbers in an array while a spectrum is computed.
_WORKING = 2**22


class Spectrum:
    """K̂(f) for the half spectrum: F = (⌊H/2⌋ + 1)·W frequencies, f = (f₁, f₂) at number f₁·W + f₂.

    `A` and `B` (F, o, i) are the computed real and imaginary parts; `rad` (o, i) bounds the error of
    either at every frequency.

    Args:
        kernel: (o, i, kh, kw), anchored as in `torus.anchor`.
        height, width: The sides of the torus, at least those of the kernel.
    """

    def __init__(self, kernel: np.ndarray, height: int, width: int) -> None:
        o, i, kh, kw = kernel.shape
        if kh > height or kw > width:
            raise ValueError(f"kernel of {kh}×{kw} taps on a torus of {height}×{width}")
        self.height, self.width = height, width
        half = height // 2 + 1
        self.A, self.B = np.empty((2, half, width, o, i))
        self.rad = np.zeros((o, i))
        taps = Ball(np.ascontiguousarray(kernel.transpose(2, 0, 1, 3)).reshape(-1, kw))
        rows = real_form(*_angles(height, kh, half))  # (2·half, 2·kh)
        cos, sin = _angles(width, kw, width)
        step = max(1, _WORKING // (2 * o * i * max(kh, half)))
        for start in range(0, width, step):
            f2 = slice(start, min(start + step, width))
            along = [(taps @ c[f2].T).reshape(kh, -1) for c in (cos, sin)]  # (kh, o·i·f₂)
            both = rows @ joined(*along, axis=0)
            for part, lines in ((self.A, slice(0, half)), (self.B, slice(half, None))):
                own = both[lines].reshape(half, o, i, -1)
                part[:, f2] = own.mid.transpose(0, 3, 1, 2)
                self.rad = np.maximum(self.rad, own.radius().max(axis=(0, 3)))
        self.A, self.B = self.A.reshape(-1, o, i), self.B.reshape(-1, o, i)
        self.rad[~kernel.any(axis=(2, 3))] = 0.0  # sums of zeros are exact

    def __len__(self) -> int:
        return len(self.A)

    def blocks(self, f: slice | None = None) -> Ball:
        """The real forms (f, 2o, 2i) at some frequencies."""
        A, B = (part[slice(None) if f is None else f] for part in (self.A, self.B))
        rad = np.broadcast_to(self.rad, A.shape)
        return real_form(Ball(A, rad), Ball(B, rad))

    def chunks(self) -> Iterator[Ball]:
        """The real forms of all frequencies, some at a time."""
        return map(self.blocks, chunks(len(self), self.rad.size))

    def norm(self, *, slack: float = 1.0) -> UpperBound:
        """Proven upper bound of ‖K̂(f)‖₂ over all f: of the norm of the circular convolution."""
        return largest_norm(self.chunks(), slack=slack)


def largest_norm(batches: Iterable[Ball], *, slack: float = 1.0) -> UpperBound:
    """Proven upper bound of the spectral norms of all matrices of some batches."""
    return UpperBound(max(spectral_norm(batch, slack=slack).value for batch in batches))


def chunks(frequencies: int, entries: int) -> list[slice]:
    """Consecutive frequencies such that one real form of so many complex entries each fits `CHUNK`."""
    step = max(1, CHUNK // (4 * entries))
    return [slice(start, start + step) for start in range(0, frequencies, step)]


def covering(kernel: np.ndarray, height: int, width: int, padding: str) -> Spectrum:
    """The spectrum of a circular convolution that has the given one as a part (or is it).

    With zero padding, y[p] reads pixels p − a … p − a + k − 1 per axis. On a torus of N + max(a, k − 1 − a)
    pixels, those outside of the image lie where it was continued by zeros; a smaller torus, such as N
    itself, wraps to the other side.
    """
    if padding == "circular":
        return Spectrum(kernel, height, width)
    sides = [
        side + max(anchor(k), k - 1 - anchor(k))
        for side, k in zip((height, width), kernel.shape[2:], strict=True)
    ]
    return Spectrum(kernel, *sides)


def _angles(n: int, taps: int, frequencies: int) -> tuple[Ball, Ball]:
    """cos and sin of 2πf(t − a)/n, (frequencies, taps), the product reduced modulo n exactly."""
    k = np.outer(np.arange(frequencies), np.arange(taps) - anchor(taps)) % n
    cos, sin = roots_of_unity(n)
    return cos[k], sin[k]


def real_form(A: Ball, B: Ball) -> Ball:
    """[[A, −B], [B, A]], the real form of A + iB."""
    return joined(joined(A, -B, axis=-1), joined(B, A, axis=-1), axis=-2)
