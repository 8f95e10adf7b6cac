"""Shapes, kernels written out, and what comes out of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from certlip.blocks.strided import LARGEST_KERNEL
from certlip.errors import InputError, UnsupportedError

#: Rows and columns, and what lies above, below, left and right of an image.
Pair = tuple[int, int]
Sides = tuple[int, int, int, int]


def check_kernel(o: int, c: int, kh: int, kw: int) -> None:
    """Raises an `UnsupportedError` if a kernel (o, c, kh, kw) is too large to write it out."""
    if o * c * kh * kw > LARGEST_KERNEL:
        raise UnsupportedError(
            f"a kernel {o}×{c}×{kh}×{kw} with dilation and groups written out: expected at most "
            f"{LARGEST_KERNEL:,} numbers"
        )


def dilated(K: Tensor, dilation: Pair) -> Tensor:
    """The kernel with zeros between its taps."""
    if dilation == (1, 1):
        return K
    o, c, kh, kw = K.shape
    shape = o, c, (kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1
    check_kernel(*shape)
    wide = K.new_zeros(shape)
    wide[:, :, :: dilation[0], :: dilation[1]] = K
    return wide


def without_groups(K: Tensor, groups: int) -> Tensor:
    """The kernel from all channels to all, with zeros between groups."""
    if groups == 1:
        return K
    o, c = K.shape[:2]
    shape = o, c * groups, *K.shape[2:]
    check_kernel(*shape)
    full = K.new_zeros(shape)
    for g, rows in enumerate(torch.arange(o).chunk(groups)):
        full[rows, g * c : (g + 1) * c] = K[rows]
    return full


def out_sides(size: Pair, kernel: Pair, stride: Pair, padding: Sides) -> Pair:
    """The pixels that come out."""
    above, below, left, right = padding
    rows = (size[0] + above + below - kernel[0]) // stride[0] + 1
    columns = (size[1] + left + right - kernel[1]) // stride[1] + 1
    if min(rows, columns) < 1:
        raise InputError(
            f"a kernel of {kernel[0]}×{kernel[1]} pixels does not fit an image of "
            f"{size[0]}×{size[1]} pixels with padding {padding}"
        )
    return rows, columns


def checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without the batch axis.

    Raises:
        InputError: empty, or a side that is no whole number of at least 1.
    """
    sides = tuple(shape) if isinstance(shape, Sequence) else ()
    if not sides or any(type(side) is not int or side < 1 for side in sides):
        raise InputError(f"shape {shape!r}: expected whole numbers ≥ 1, without the batch axis")
    return sides
