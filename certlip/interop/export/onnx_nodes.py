"""Each kind of block as nodes of an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from certlip.blocks import (
    Activation,
    Affine,
    Block,
    Convolution,
    ConvResidual,
    GroupSort,
    Normalize,
    Pooling,
    Residual,
    Resize,
    Sigma,
    Window,
)
from certlip.blocks.activations import ELU, LeakyReLU
from certlip.blocks.image import channel_sigma
from certlip.interop.export.onnx_graph import Graph


def _sigma(sigma: Sigma, to: Graph) -> None:
    """σ along axis 1."""
    if len(sigma.segments) == 1:
        _KINDS[sigma.segments[0][0].name](sigma.segments[0][0], to)
        return
    counts = to.constant([count for _, count in sigma.segments])
    first = to.node("Split", counts, outputs=len(sigma.segments), axis=1)
    parts = []
    for k, (kind, _) in enumerate(sigma.segments):
        to.latest = first if k == 0 else f"{first}_{k}"
        _KINDS[kind.name](kind, to)
        parts.append(to.latest)
    to.node("Concat", *parts[1:], of=parts[0], axis=1)


def _leaky_relu(kind: LeakyReLU, to: Graph) -> None:
    if to.as_attribute(kind.slope):
        to.node("LeakyRelu", alpha=kind.slope)
    else:
        to.node("PRelu", to.constant(kind.slope))


def _elu(kind: ELU, to: Graph) -> None:
    if to.as_attribute(kind.alpha):
        to.node("Elu", alpha=kind.alpha)
        return
    v = to.latest  # relu(v) + α(elu(v) − relu(v)), where elu has α = 1
    positive = to.node("Relu", of=v)
    to.node("Elu", of=v)
    to.node("Sub", positive)
    to.node("Mul", to.constant(kind.alpha))
    to.node("Add", positive)


_KINDS: dict[str, Callable[[Any, Graph], Any]] = {
    "identity": lambda *_: None,
    "relu": lambda _, to: to.node("Relu"),
    "leaky_relu": _leaky_relu,
    "tanh": lambda _, to: to.node("Tanh"),
    "elu": _elu,
}


def _activation(block: Activation, to: Graph) -> None:
    if len(block.sigma.segments) > 1:
        to.reshape((block.in_width,))
    _sigma(block.sigma, to)


def _normalize(block: Normalize, to: Graph) -> None:
    to.reshape((block.in_width,))
    to.node("Sub", to.constant(block.mean))
    to.node("Div", to.constant(block.std))


def _affine(block: Affine, to: Graph) -> None:
    to.reshape((block.in_width,))
    to.node("Gemm", to.constant(block.W), to.constant(block.b), transB=1)
    to.shape = (block.out_width,)


def _residual(block: Residual, to: Graph) -> None:
    to.reshape((block.in_width,))
    x, W = to.latest, to.constant(block.W)
    to.node("Gemm", W, to.constant(block.b))
    _sigma(block.sigma, to)
    to.node("Mul", to.constant(2.0 * block.D))
    step = to.node("Gemm", W, transB=1)
    to.node("Sub", step, of=x)


def _padded(to: Graph, before: tuple[int, int], after: tuple[int, int], padding: str) -> list[int]:
    """What a convolution takes as `pads`: a circular border is gathered from the other side."""
    if padding == "zero":
        return [*before, *after]
    for axis, (left, right) in enumerate(zip(before, after, strict=True), 2):
        n = to.shape[axis - 1]
        if left or right:
            border = [k % n for k in range(-left, n + right)]
            to.node("Gather", to.constant(border), axis=axis)
    return [0, 0, 0, 0]


def _convolution(block: Convolution, to: Graph) -> None:
    out, into, *taps = block.K.shape
    to.reshape((into, block.height, block.width))
    before, after = _sides(taps)
    pads = _padded(to, before, after, block.padding)
    to.node("Conv", to.constant(block.K), to.constant(block.b), pads=pads)
    to.shape = (out, block.height, block.width)


def _conv_residual(block: ConvResidual, to: Graph) -> None:
    """The adjoint of a convolution is one with the kernel turned round, and the sides exchanged."""
    k, c, *taps = block.K.shape
    to.reshape((c, block.height, block.width))
    x, (before, after) = to.latest, _sides(taps)
    pads = _padded(to, before, after, block.padding)
    to.node("Conv", to.constant(block.K), to.constant(block.b), pads=pads)
    to.shape = (k, block.height, block.width)
    _sigma(channel_sigma(block.sigma, block.pixels), to)
    to.node("Mul", to.constant(2.0 * block.D[:, None, None]))
    pads = _padded(to, after, before, block.padding)
    step = to.node("Conv", to.constant(block.K.transpose(0, 1).flip(2, 3)), pads=pads)
    to.node("Sub", step, of=x)
    to.shape = (c, block.height, block.width)


def _sides(taps: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels that a kernel reaches over above and on the left, below and on the right."""
    (rows, columns) = (n - 1 for n in taps)
    return (rows // 2, columns // 2), (rows - rows // 2, columns - columns // 2)


def _pooling(block: Pooling, to: Graph) -> None:
    k = block.window
    to.reshape((block.channels, block.height, block.width))
    to.node("AveragePool", kernel_shape=[k, k], strides=[k, k])
    to.node("Mul", to.constant(float(k)))  # sums of windows over k, not over k²
    to.shape = (block.channels, block.height // k, block.width // k)


def _border(to: Graph, before: Sequence[int], after: Sequence[int]) -> None:
    """Zeros at both ends of every axis; where a number is negative, as many entries are left out."""
    ends = (
        [-min(n, 0) for n in before],
        [size + min(n, 0) for size, n in zip(to.shape, after, strict=True)],
    )
    if min(*before, *after) < 0:
        axes = range(1, len(to.shape) + 1)
        to.node("Slice", *(to.constant([*part]) for part in (*ends, axes)))
    zeros = [[max(n, 0) for n in side] for side in (before, after)]
    if any(map(any, zeros)):
        to.node("Pad", to.constant([0, *zeros[0], 0, *zeros[1]]))
    sizes = zip(to.shape, before, after, strict=True)
    to.shape = tuple(size + a + b for size, a, b in sizes)


def _resize(block: Resize, to: Graph) -> None:
    to.reshape((block.d,))
    _border(to, (0,), (block.q - block.d,))


def _window(block: Window, to: Graph) -> None:
    to.reshape((block.channels, block.height, block.width))
    left, right, above, below = block.sides
    _border(to, (0, above, left), (0, below, right))
    sizes = (block.rows, block.row_step, block.columns, block.column_step)
    if block.row_step * block.column_step > 1:
        to.reshape((block.channels, *sizes))
        to.node("Transpose", perm=[0, 1, 3, 5, 2, 4])
        to.shape = ()
        phases = block.row_step * block.column_step
        to.reshape((block.channels * phases, block.rows, block.columns))


def _group_sort(block: GroupSort, to: Graph) -> None:
    groups = block.d // (block.group * block.stride)
    to.reshape((groups, block.group, block.stride))
    to.node("TopK", to.constant([block.group]), outputs=2, axis=2)
    to.reshape((block.d,))


NODES: dict[type[Block], Callable[[Any, Graph], None]] = {
    Normalize: _normalize,
    Affine: _affine,
    Activation: _activation,
    Residual: _residual,
    Convolution: _convolution,
    ConvResidual: _conv_residual,
    Pooling: _pooling,
    Resize: _resize,
    Window: _window,
    GroupSort: _group_sort,
}
