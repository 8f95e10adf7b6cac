"""Convolutions of any stride, padding and kernel as blocks: windows around one convolution of stride 1.

Per axis with N pixels, out[i] = Σ_t K[t] x[s·i + t − p], i < m. Write pixels as top + s·j + a, phase a < s:
then K is a kernel on the s phases with stride 1, which is where its norm is proven. The norm of
K with stride 1 on the pixels themselves bounds it too, but by up to a factor s per axis worse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from certlip.blocks.affine import Affine
from certlip.blocks.base import Block
from certlip.blocks.convolution import Convolution
from certlip.blocks.dense_form import WIDEST
from certlip.blocks.window import Window
from certlip.errors import UnsupportedError
from certlip.linalg.torus import anchor

#: The most numbers of a kernel with groups, dilation and strides written out: 1 GiB.
LARGEST_KERNEL = 2**27
#: How many shifts of a kernel against its phases are looked at: with any of them it is the same function.
SHIFTS = 16


@dataclass(frozen=True)
class Axis:
    """One axis of a convolution: `side` pixels, `taps`, a stride, and a padding at either end."""

    side: int
    taps: int
    stride: int = 1
    before: int = 0
    after: int = 0

    @property
    def out(self) -> int:
        """How many pixels come out; not positive if the kernel does not fit."""
        return (self.side + self.before + self.after - self.taps) // self.stride + 1

    @property
    def read(self) -> int:
        """The pixels from the first one on that matter, one at least: others are never read."""
        end = self.stride * (self.out - 1) + self.taps - self.before
        return max(min(self.side, end), 1)

    def as_one_block(self) -> Axis:
        """The same single output; with the stride of the taps all of them are phases of one block."""
        after = self.taps - self.side - self.before
        return replace(self, stride=self.taps, after=after)


@dataclass(frozen=True)
class Arrangement:
    """How one axis is computed: `length` blocks of a stride each from `start` on, a kernel of `taps` on
    them whose phases begin with `shift` zeros, and the outputs from number `first` on."""

    start: int
    length: int
    taps: int
    shift: int
    first: int


def convolution_blocks(
    K: Tensor,
    b: Tensor,
    image: tuple[int, int],
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    mode: str = "zero",
) -> list[Block]:
    """The blocks of out[i] = Σ_t K[t] x[s·i + t − p] + b.

    Args:
        K: (o, c, kh, kw), with dilation and groups written out.
        padding: above, below, left, right.
        mode: What is outside of the image: "zero", or "circular".

    Raises:
        UnsupportedError: nothing comes out, or a circular padding that is no convolution on the torus of
            the image, which is too large to write it out as a matrix.
    """
    above, below, left, right = padding
    axes = (
        Axis(image[0], K.shape[2], stride[0], above, below),
        Axis(image[1], K.shape[3], stride[1], left, right),
    )
    if min(axis.out for axis in axes) < 1:
        raise UnsupportedError(
            f"a kernel of {K.shape[2]}×{K.shape[3]} taps does not fit an image of "
            f"{image[0]}×{image[1]} pixels with padding {padding}"
        )
    if mode == "zero":
        axes = tuple(axis.as_one_block() if axis.out == 1 else axis for axis in axes)
    rows, columns = (_arranged(axis, mode) for axis in axes)
    if rows is None or columns is None:
        return [_wrapped(K, b, image, stride, padding)]
    steps = axes[0].stride, axes[1].stride
    kernel = _on_phases(K, rows, columns, steps)
    size = rows.length, columns.length
    before = Window(K.shape[1], *image, rows.start, columns.start, *size, *steps)
    after = Window(K.shape[0], *size, rows.first, columns.first, axes[0].out, axes[1].out, 1, 1)
    middle = Convolution(kernel, b, *size, mode) if max(size) > 1 else Affine(kernel[..., 0, 0], b)
    return [*_unless_identity(before), middle, *_unless_identity(after)]


def _unless_identity(window: Window) -> list[Block]:
    """The window, unless it leaves all numbers where they are."""
    size = {"i": window.rows, "j": window.columns, "a": window.row_step, "b": window.column_step}
    given, found = ([axis for axis in order if size[axis] > 1] for order in ("iajb", "abij"))
    return [window] if any(window.sides) or given != found else []


def _arranged(axis: Axis, mode: str) -> Arrangement | None:
    """The cheapest arrangement, if any: the fewest taps times blocks, then the fewest windows."""
    found = _on_torus(axis) if mode == "circular" else _with_zeros(axis)
    return min(
        found,
        key=lambda plan: (plan.taps * plan.length, plan.first, plan.start != 0),
        default=None,
    )


def _wrapped(
    K: Tensor,
    b: Tensor,
    image: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> Affine:
    """The matrix of a circular padding that repeats pixels, or of a stride that does not divide them."""
    c, pixels = K.shape[1], image[0] * image[1]
    if c * pixels > WIDEST:
        raise UnsupportedError(
            f"circular padding {padding} with {K.shape[2]}×{K.shape[3]} taps and stride {stride} is no "
            f"convolution on the torus of {image[0]}×{image[1]} pixels, and too large for a matrix"
        )
    above, below, left, right = padding
    basis = torch.eye(c * pixels, dtype=K.dtype).unflatten(1, (c, *image))
    basis = F.pad(basis, (left, right, above, below), mode="circular")
    W = F.conv2d(basis, K, stride=stride)
    return Affine(W.flatten(1).mT.contiguous(), b.repeat_interleave(W.shape[2] * W.shape[3]))


def _with_zeros(axis: Axis) -> list[Arrangement]:
    """Blocks must cover the pixels that are read; the zeros beyond are those of the padding."""
    s, found = axis.stride, []
    for shift in range(min(s, SHIFTS)):
        taps = _blocks(axis.taps + shift, s)
        # tap 0 of output 0 is pixel −before, and block `first − anchor` from `start` on
        start = s * anchor(taps) - axis.before - shift
        first = max(_blocks(start, s), 0)
        start -= s * first
        length = max(first + axis.out, _blocks(axis.read - start, s), taps)
        found.append(Arrangement(start, length, taps, shift, first))
    return found


def _on_torus(axis: Axis) -> list[Arrangement]:
    """Blocks must go round the image once, and no output may be there twice."""
    s, found = axis.stride, []
    if axis.side % s:
        return []
    length = axis.side // s
    for taps, first in product(range(_blocks(axis.taps, s), length + 1), range(length)):
        shift = s * (anchor(taps) - first) - axis.before
        if 0 <= shift <= s * taps - axis.taps and first + axis.out <= length:
            found.append(Arrangement(0, length, taps, shift, first))
    return found


def _blocks(pixels: int, stride: int) -> int:
    """How many blocks hold so many pixels."""
    return -(-pixels // stride)


def _on_phases(
    K: Tensor, rows: Arrangement, columns: Arrangement, stride: tuple[int, int]
) -> Tensor:
    """The kernel on the phases of the channels, (o, c·sh·sw, taps, taps)."""
    (sh, sw), (o, c, kh, kw) = stride, K.shape
    height, width = rows.taps * sh, columns.taps * sw
    if o * c * height * width > LARGEST_KERNEL:
        raise UnsupportedError(
            f"a kernel of {kh}×{kw} taps with stride {stride} for {c} → {o} channels: its form with stride "
            f"1 is larger than {LARGEST_KERNEL:,} numbers"
        )
    above, left = rows.shift, columns.shift
    K = F.pad(K, (left, width - kw - left, above, height - kh - above))
    K = K.reshape(o, c, rows.taps, sh, columns.taps, sw).permute(0, 1, 3, 5, 2, 4)
    return K.reshape(o, c * sh * sw, rows.taps, columns.taps).contiguous()


def depthwise(k: Tensor, channels: int) -> Tensor:
    """The kernel (c, c, kh, kw) that acts by k (kh, kw) on each of c channels alone."""
    eye = torch.eye(channels, dtype=k.dtype)
    return eye[:, :, None, None] * k
