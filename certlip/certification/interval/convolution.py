"""y = K ∗ x + b on boxes of images: K on the centre, |K| on the radius."""

from __future__ import annotations

import numpy as np

from certlip.blocks import Convolution
from certlip.certification.enclosure.by_frequency import ByFrequency
from certlip.certification.enclosure.near import Near
from certlip.certification.interval.affine import Linear
from certlip.certification.interval.base import Step
from certlip.linalg.operators import DIRECT_TAPS
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, up
from certlip.linalg.torus import anchor

#: Numbers that are gathered at a time: they stay in the cache until they are multiplied.
WORKING = 2**17


class Gathered(Linear):
    """Every pixel is one product with what its kernel reads, laid out beside each other.

    Within, the rows of the batch are innermost: what a tap reads is a run of memory.

    Args:
        K: (channels, k), one row per output channel.
        b: (channels,).
        reads: (k, pixels), which input is read; `width` stands for a zero.
        width: The inputs.
    """

    def __init__(self, K: np.ndarray, b: np.ndarray, reads: np.ndarray, width: int) -> None:
        super().__init__(K, b, reads.shape[1])
        self.reads, self.width = reads, width

    def sums(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        (k, pixels), batch, channels = self.reads.shape, len(x), weights.shape[1]
        source = np.zeros((self.width + 1, batch), x.dtype)
        source[:-1] = x.T
        y = np.empty((channels, pixels, batch), x.dtype)
        step = max(1, WORKING // (k * batch))
        work = np.empty((k, step, batch), x.dtype)
        for p in range(0, pixels, step):
            at = self.reads[:, p : p + step]
            taken = work if at.shape[1] == step else np.empty((*at.shape, batch), x.dtype)
            np.take(source, at, axis=0, out=taken, mode="clip")
            np.matmul(weights.T, taken.reshape(k, -1), out=y[:, p : p + step].reshape(channels, -1))
        return y.reshape(-1, batch).T


class Spectral(Step):
    """A large kernel on a torus, by frequencies. Of a row, no entry is off by more than its norm."""

    linear = True

    def __init__(
        self, K: np.ndarray, b: np.ndarray, height: int, width: int, *, adjoint: bool
    ) -> None:
        self.centre = ByFrequency(K, height, width, adjoint=adjoint)
        self.radius = ByFrequency(np.abs(K), height, width, adjoint=adjoint)
        self.b = Ball(np.repeat(b, height * width))

    def __call__(self, box: Ball) -> Ball:
        # zeros for what is no number, as products and norms have no place for it
        known = np.isfinite(box.mid).all(axis=1) & np.isfinite(box.radius()).all(axis=1)
        centre, radius = self.centre(Near.exact(box.mid)), self.radius(Near.exact(box.radius()))
        off = np.where(known, up(centre.error + radius.error), np.nan)[:, None]
        # by frequencies a sum may come out below zero
        return Ball(centre.v, up(np.abs(radius.v) + off) + TINY) + self.b


def kernel(
    K: np.ndarray,
    height: int,
    width: int,
    padding: str,
    b: np.ndarray | None = None,
    *,
    adjoint: bool = False,
) -> Step:
    """K (o, i, kh, kw) ∗ x + b with stride 1, or the exact adjoint of K."""
    b = np.zeros(K.shape[1 if adjoint else 0]) if b is None else b
    if padding == "circular" and K.shape[2] * K.shape[3] > DIRECT_TAPS:
        return Spectral(K, b, height, width, adjoint=adjoint)
    before = [anchor(k) for k in K.shape[2:]]
    if adjoint:  # x[p] = Σ_t K[t]ᵀ y[p − t + a]: the kernel turned, and its anchor with it
        before = [k - 1 - a for k, a in zip(K.shape[2:], before, strict=True)]
        K = K[:, :, ::-1, ::-1].swapaxes(0, 1)
    pixels, i = height * width, K.shape[1]
    rows, columns = (
        np.arange(side) + np.arange(taps)[:, None] - a
        for side, taps, a in zip((height, width), K.shape[2:], before, strict=True)
    )  # (taps, side): where a tap reads
    outside = np.zeros((1, 1, 1, 1), dtype=bool)
    if padding == "circular":
        rows, columns = rows % height, columns % width
    else:
        above, beside = ((at < 0) | (at >= side) for at, side in ((rows, height), (columns, width)))
        outside = above[:, None, :, None] | beside[None, :, None, :]
    at = rows[:, None, :, None] * width + columns[None, :, None, :]
    at = np.arange(i)[:, None, None, None, None] * pixels + at
    reads = np.where(outside, i * pixels, at).reshape(-1, pixels)
    return Gathered(np.ascontiguousarray(K).reshape(len(K), -1), b, reads, i * pixels)


def convolution(block: Convolution) -> list[Step]:
    K, b = block.K.numpy(), block.b.numpy()
    return [kernel(K, block.height, block.width, block.padding, b)]
