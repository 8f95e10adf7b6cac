"""The ONNX operators that look at images through windows: convolutions, pooling, padding."""

from __future__ import annotations

import math

import numpy as np

from certlip.errors import InputError, UnsupportedError
from certlip.interop.kernels import Pair, Sides
from certlip.interop.lowering import Lowering
from certlip.interop.onnx_node import Node, counts, pair_of, positive


def convolution(to: Lowering, node: Node) -> None:
    """A convolution of images, in groups or not."""
    K = node.tensor(1)
    if K.ndim != 4 or len(to.shape) != 3:
        raise UnsupportedError(f"kernel of {K.ndim - 2} axes on {len(to.shape) - 1}: expected 2")
    o, groups = K.shape[0], node.attribute("group", 1)
    if groups < 1 or o % groups:
        raise InputError(f"group = {groups}: expected a divisor of {o}")
    taps = K.shape[2], K.shape[3]
    dilation = pair_of(node, "dilations")
    kernel, stride, padding = _geometry(to, node, taps, dilation)
    if kernel != taps:
        raise InputError(f"kernel_shape {kernel}: expected {taps}")
    to.convolution(
        K, node.optional(2), stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def average_pool(to: Lowering, node: Node) -> None:
    """Means of windows, whose divisor is the same everywhere."""
    if pair_of(node, "dilations") != (1, 1):
        raise UnsupportedError("dilations: expected none")
    kernel, stride, padding = _geometry(to, node, None, (1, 1))
    counts, ceil_mode = node.attribute("count_include_pad", 0), node.attribute("ceil_mode", 0)
    if any(padding) and not counts:
        raise UnsupportedError(
            "count_include_pad = 0 with padding: windows differ in their divisor"
        )
    _, height, width = to.image
    over = (height + sum(padding[:2]) - kernel[0]) % stride[0]
    if ceil_mode and (over or (width + sum(padding[2:]) - kernel[1]) % stride[1]):
        raise UnsupportedError("ceil_mode = 1 where windows reach over the border")
    to.average(kernel, stride=stride, padding=padding)


def _geometry(
    to: Lowering, node: Node, kernel: Pair | None, dilation: Pair
) -> tuple[Pair, Pair, Sides]:
    """Kernel, stride and padding of a convolution or pooling."""
    shape, stride = node.attribute("kernel_shape"), pair_of(node, "strides")
    if shape is not None:
        kernel = positive("kernel_shape", shape)
    if kernel is None:
        raise InputError("no kernel_shape")
    pads, auto = node.attribute("pads"), node.attribute("auto_pad", "NOTSET")
    if auto == "NOTSET":
        above, left, below, right = [0, 0, 0, 0] if pads is None else counts("pads", pads, 4, 0)
        return kernel, stride, (above, below, left, right)
    if auto == "VALID":
        return kernel, stride, (0, 0, 0, 0)
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise UnsupportedError(f"auto_pad {auto!r}: no rule")
    sides: list[int] = []
    for side, k, s, d in zip(to.image[1:], kernel, stride, dilation, strict=True):
        total = max((math.ceil(side / s) - 1) * s + (k - 1) * d + 1 - side, 0)
        less, more = total // 2, total - total // 2
        sides += [less, more] if auto == "SAME_UPPER" else [more, less]
    return kernel, stride, (sides[0], sides[1], sides[2], sides[3])


def pad(to: Lowering, node: Node) -> None:
    """Zeros around images."""
    mode = node.attribute("mode", "constant")
    pads, value = node.numbers(1, "pads"), node.constant(2)
    axes = node.numbers(3, "axes") or list(range(len(to.image) + 1))
    fill = node.attribute("value", 0.0) if value is None else value
    if mode != "constant" or np.any(np.asarray(fill) != 0):
        raise UnsupportedError(f"mode {mode!r} with {fill}: expected constant zeros")
    if pads is None or len(pads) != 2 * len(axes):
        raise InputError(f"pads {pads}: expected two per axis")
    before, after = [0] * 4, [0] * 4
    for k, axis in enumerate(axes):
        if not -4 <= axis < 4:
            raise InputError(f"axis {axis}: expected one of 4")
        before[axis], after[axis] = pads[k], pads[len(axes) + k]
    if any(before[:2] + after[:2]):
        raise UnsupportedError(f"pads {pads}: expected rows and columns alone")
    to.pad((before[2], after[2], before[3], after[3]))
