"""Blocks on images: a proven ℓ2 error per row, and as many rows at a time as memory allows.

Convolutions and residual blocks are built once per block; the others only move or add numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from certlip.blocks import Convolution, ConvResidual, GroupSort, Pooling, Resize, Window
from certlip.blocks.image import channel_sigma
from certlip.certification.enclosure.apriori import Sizes, residual_sizes
from certlip.certification.enclosure.base import Local
from certlip.certification.enclosure.columns import InColumns
from certlip.certification.enclosure.convolution import Direct, Map, convolution_map
from certlip.certification.enclosure.near import Near
from certlip.certification.enclosure.side_by_side import in_steps
from certlip.linalg.rigorous.rounding import TINY, norm_up, sum_up, up
from certlip.lmi import BlockProof, ResidualProof

#: Numbers in the largest array of a step.
WORKING = 2**22


def convolution(block: Convolution, proof: BlockProof) -> Callable[[np.ndarray], Local]:
    """K ∗ x + b."""
    del proof
    K = convolution_map(block.K.numpy(), block.height, block.width, block.padding)
    return _DirectConvolution(block, K) if isinstance(K, Direct) else _Convolution(block, K)


def conv_residual(block: ConvResidual, proof: ResidualProof) -> Callable[[np.ndarray], Local]:
    """x − 2 Kᵀ ∗ (D σ(K ∗ x + b))."""
    parts = block.K.numpy(), block.height, block.width, block.padding
    K, KT = convolution_map(*parts), convolution_map(*parts, adjoint=True)
    if isinstance(K, Direct) and isinstance(KT, Direct):
        return _DirectResidual(block, K, KT)
    return _Residual(block, proof, K, KT)


class _DirectConvolution(InColumns):
    """K ∗ x + b by taps."""

    def __init__(self, block: Convolution, K: Direct) -> None:
        self.K, self.b, self.numbers, self.width = K, block.b, K.numbers, block.out_width
        b = np.repeat(block.b.numpy(), block.pixels)
        self.sizes = Sizes.exact().product(K.size, K.terms, float(norm_up(b)))

    def columns(self, x: Tensor) -> Tensor:
        return self.K.summed(self.K.frame.around(x), self.b)


class _DirectResidual(InColumns):
    """Both convolutions by taps."""

    def __init__(self, block: ConvResidual, K: Direct, KT: Direct) -> None:
        self.numbers, self.width = max(K.numbers, KT.numbers), block.out_width
        self.K, self.KT, self.b, self.double_D = K, KT, block.b, 2.0 * block.D
        self.sigma = channel_sigma(block.sigma, block.pixels)
        self.shape = (block.K.shape[1], block.height, block.width)
        taps = sum_up(np.abs(block.K.numpy()).reshape(*block.K.shape[:2], -1))
        b = np.repeat(block.b.numpy(), block.pixels)
        terms = K.terms, KT.terms
        self.sizes = residual_sizes(taps, block.D.numpy(), b, self.sigma, terms)

    def columns(self, x: Tensor) -> Tensor:
        x = x.reshape(*self.shape, -1)
        v = self.K.summed(self.K.frame.around(x), self.b)
        s = self.sigma.forward(v.permute(1, 2, 3, 0)).mul_(self.double_D).permute(3, 0, 1, 2)
        return x - self.KT.summed(self.KT.frame.around(s))


class _Convolution:
    """A convolution in steps that are bounded one by one."""

    def __init__(self, block: Convolution, K: Map) -> None:
        self.K, self.b = K, np.repeat(block.b.numpy(), block.pixels)

    def __call__(self, x: np.ndarray) -> Local:
        return Local(*in_steps(self._rows, working(self.K.numbers), x))

    def _rows(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        y = self.K(Near.exact(x)) + self.b
        return y.v, y.error


class _Residual:
    """A residual block in steps that are bounded one by one.

    With D K Kᵀ D ⪯ (1 + δ)D proven, ‖2KᵀDv‖ ≤ 2√((1 + δ) max D)·‖v‖: so does an error of σ grow.
    """

    def __init__(self, block: ConvResidual, proof: ResidualProof, K: Map, KT: Map) -> None:
        self.K, self.KT, self.sigma = K, KT, block.sigma
        self.b, self.D = (np.repeat(a.numpy(), block.pixels) for a in (block.b, block.D))
        self.growth = float(up(2.0 * up(np.sqrt(up((1.0 + proof.delta) * self.D.max())))))

    def __call__(self, x: np.ndarray) -> Local:
        return Local(*in_steps(self._rows, working(max(self.K.numbers, self.KT.numbers)), x))

    def _rows(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        s = (self.K(Near.exact(x)) + self.b).activated(self.sigma)
        own = self.KT(Near.exact(s.v) * (2.0 * self.D))  # doubling is exact
        y = Near.exact(x) - own
        return y.v, up(y.error + up(self.growth * s.error) + TINY)


def pooling(block: Pooling, x: np.ndarray) -> Local:
    """Sums of windows, divided by their side: k² − 1 additions and one division of each."""
    k, H, W = block.window, block.height, block.width
    windows = x.reshape(len(x), block.channels, H // k, k, W // k, k)
    y = windows.sum(axis=(3, 5)).reshape(len(x), -1) / k
    # the pooling of |x| is no longer than x
    return Local(y, Sizes.exact().product(1.0, k * k).bound(norm_up(x)))


def resize(block: Resize, x: np.ndarray) -> Local:
    """Coordinates left out, or zeros appended: exact."""
    y = np.zeros((len(x), block.q))
    kept = min(block.d, block.q)
    y[:, :kept] = x[:, :kept]
    return _exact(y)


def window(block: Window, x: np.ndarray) -> Local:
    """Pixels moved, or left out, and zeros around them: exact."""
    rows, columns, p, q = block.rows, block.columns, block.row_step, block.column_step
    y = np.zeros((len(x), block.channels, rows * p, columns * q))
    top, left = max(block.top, 0), max(block.left, 0)
    inside = x.reshape(len(x), block.channels, block.height, block.width)
    inside = inside[:, :, top : block.top + rows * p, left : block.left + columns * q]
    i, j = top - block.top, left - block.left
    y[:, :, i : i + inside.shape[2], j : j + inside.shape[3]] = inside
    y = y.reshape(len(x), block.channels, rows, p, columns, q).transpose(0, 1, 3, 5, 2, 4)
    return _exact(y.reshape(len(x), -1))


def group_sort(block: GroupSort, x: np.ndarray) -> Local:
    """Groups of coordinates a stride apart, the largest first: exact."""
    groups = x.reshape(len(x), -1, block.group, block.stride)
    return _exact(-np.sort(-groups, axis=2).reshape(len(x), -1))


def working(numbers: int) -> int:
    """How many rows of so many numbers go through a block together: the same for any batch."""
    return max(1, WORKING // numbers)


def _exact(y: np.ndarray) -> Local:
    return Local(y, Near.exact(y).error)
