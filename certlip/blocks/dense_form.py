"""The same function in the dense vocabulary: a convolution written out as the matrix it is.

For small images this is the ground truth of everything that uses the structure, and the way of a
convolutional network to what only dense blocks can do. Entries are stored numbers, never rounded ones: a
kernel is no larger than its image, so no two of its taps meet at the same pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from certlip.blocks.affine import Affine
from certlip.blocks.base import Block
from certlip.blocks.conv_equilibrium import ConvEquilibrium
from certlip.blocks.conv_residual import ConvResidual
from certlip.blocks.convolution import Convolution
from certlip.blocks.equilibrium import Equilibrium
from certlip.blocks.group_sort import GroupSort
from certlip.blocks.normalize import Normalize
from certlip.blocks.padded_equilibrium import PaddedEquilibrium
from certlip.blocks.pooling import Pooling
from certlip.blocks.residual import Residual
from certlip.blocks.resize import Resize
from certlip.blocks.window import Window
from certlip.errors import UnsupportedError
from certlip.linalg.torus import Torus, anchor

#: The most coordinates of a space between which matrices are written out (128 MiB for a square one).
WIDEST = 4096


def dense_form(block: Block) -> list[Block]:
    """Dense blocks that are together the same function; a dense block is its own form.

    Raises:
        UnsupportedError: more than `WIDEST` coordinates, or a kind that no dense block can express.
    """
    if isinstance(block, GroupSort):
        raise UnsupportedError("group-sort block: sorting is not elementwise and has no dense form")
    if isinstance(block, PaddedEquilibrium):
        raise UnsupportedError(f"{block.kind} block: W is a formula, a dense one would be rounded")
    form = _FORMS.get(type(block))
    if form is None:
        return [block]
    sigma = getattr(block, "sigma", None)
    width = max(block.in_width, block.out_width, 0 if sigma is None else sigma.width)
    if width > WIDEST:
        raise UnsupportedError(
            f"{block.kind} block with {width} coordinates: its dense form is limited to {WIDEST}"
        )
    return form(block)


def kernel_matrix(K: Tensor, torus: Torus, padding: str) -> Tensor:
    """The matrix (o·H·W, i·H·W) of the convolution with K (o, i, kh, kw) no larger than the image."""
    H, W = torus.height, torus.width
    o, i, kh, kw = K.shape
    matrix = K.new_zeros(o, H, W, i, H, W)
    row, column = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    for s in range(kh):
        for t in range(kw):
            # y[p] reads x[q] with the tap q − p, counted from the anchor
            r, c = row + s - anchor(kh), column + t - anchor(kw)
            inside = (r >= 0) & (r < H) & (c >= 0) & (c < W)
            kept = inside if padding == "zero" else torch.ones_like(inside)
            p, q = (row[kept], column[kept]), (r[kept] % H, c[kept] % W)
            matrix[:, *p, :, *q] = K[:, :, s, t]
    return matrix.reshape(o * H * W, i * H * W)


def _convolution(block: Convolution) -> list[Block]:
    W = kernel_matrix(block.K, block.torus, block.padding)
    return [Affine(W, block.b.repeat_interleave(block.pixels))]


def _conv_residual(block: ConvResidual) -> list[Block]:
    W = kernel_matrix(block.K, block.torus, block.padding).mT  # in the dense letters K is Wᵀ
    D, b = (a.repeat_interleave(block.pixels) for a in (block.D, block.b))
    return [Residual(W.contiguous(), D, b, block.sigma)]


def _conv_equilibrium(block: ConvEquilibrium) -> list[Block]:
    W, U, G = (kernel_matrix(K, block.torus, "circular") for K in (block.W, block.U, block.G))
    b_z, b_y = (b.repeat_interleave(block.pixels) for b in (block.b_z, block.b_y))
    origin = block.origin
    if origin is not None:
        vectors = {k: v.repeat_interleave(block.pixels) for k, v in origin.vectors.items()}
        origin = replace(origin, vectors=vectors)
    return [Equilibrium(W, U, G, b_z, b_y, block.sigma, origin)]


def _pooling(block: Pooling) -> list[Block]:
    k, C = block.window, block.channels
    h, w = block.height // k, block.width // k
    channel = torch.eye(C, dtype=torch.float64)
    rows, columns = (torch.eye(n, dtype=torch.float64).repeat_interleave(k, 1) for n in (h, w))
    sums = torch.kron(channel, torch.kron(rows, columns))  # k rows and k columns are a window
    zero = torch.zeros(C * h * w, dtype=torch.float64)
    if k & (k - 1) == 0:  # 1/k is a double
        return [Affine(sums / k, zero)]
    return [Affine(sums, zero), Normalize(zero, torch.full_like(zero, k))]


def _resize(block: Resize) -> list[Block]:
    W = torch.eye(block.q, block.d, dtype=torch.float64)
    return [Affine(W, torch.zeros(block.q, dtype=torch.float64))]


def _window(block: Window) -> list[Block]:
    rows, columns = (
        _phases(block.top, block.rows, block.row_step, block.height),
        _phases(block.left, block.columns, block.column_step, block.width),
    )
    # (c, phases of rows, phases of columns, i, j) from (c, row, column)
    one = torch.einsum("air,bjs->abijrs", rows, columns)
    one = one.reshape(-1, block.pixels)
    W = torch.kron(torch.eye(block.channels, dtype=torch.float64), one)
    return [Affine(W, torch.zeros(block.out_width, dtype=torch.float64))]


def _phases(start: int, count: int, step: int, side: int) -> Tensor:
    """(step, count, side): a 1 where entry i of phase a reads `start + step·i + a` of a side."""
    index = start + step * torch.arange(count) + torch.arange(step)[:, None]
    return (index[..., None] == torch.arange(side)).double()


_FORMS: dict[type[Block], Callable[[Any], list[Block]]] = {
    Convolution: _convolution,
    ConvResidual: _conv_residual,
    ConvEquilibrium: _conv_equilibrium,
    Pooling: _pooling,
    Resize: _resize,
    Window: _window,
}
