"""What each supported ONNX operator does, as operations of a `Lowering`. To add one: a function, a line
in `OPERATORS`, a test row."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from certlip.blocks.activations import ReLU, Tanh
from certlip.errors import InputError, UnsupportedError
from certlip.interop import modules
from certlip.interop.kernels import Pair, Sides
from certlip.interop.lowering import Lowering
from certlip.interop.onnx_node import BATCH, Node, counts, pair_of, positive

#: Defaults of the format are numbers in float32.
_LEAK, _EPSILON = float(np.float32(0.01)), float(np.float32(1e-5))


def _gemm(to: Lowering, node: Node) -> None:
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    if node.attribute("transA", 0):
        raise UnsupportedError("transA = 1: it mixes the inputs of a batch")
    W = _matrix(node.tensor(1))
    W = W if node.attribute("transB", 0) else W.mT
    b = node.optional(2)
    if b is not None:
        b = b[0] if b.ndim == 2 and len(b) == 1 else b
        if b.ndim > 1 or b.numel() not in (1, len(W)):
            raise InputError(f"bias of shape {tuple(b.shape)}: expected ({len(W)},)")
        b = b.expand(len(W)) * beta
    to.dense(W * alpha, b)


def _matmul(to: Lowering, node: Node) -> None:
    to.dense(_matrix(node.tensor(1)).mT)


def _matrix(W: Tensor) -> Tensor:
    if W.ndim != 2:
        raise InputError(f"weights of shape {tuple(W.shape)}: expected a matrix")
    return W


def _convolution(to: Lowering, node: Node) -> None:
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


def _average_pool(to: Lowering, node: Node) -> None:
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


def _batch_norm(to: Lowering, node: Node) -> None:
    if node.attribute("training_mode", 0):
        raise UnsupportedError("training_mode = 1: its result depends on the batch")
    node.attribute("momentum")
    weight, bias, mean, variance = (node.tensor(k) for k in range(1, 5))
    modules.batch_norm(to, mean, variance, weight, bias, node.attribute("epsilon", _EPSILON))


def _dropout(to: Lowering, node: Node) -> None:
    del to
    node.constant(1)
    for name in ("ratio", "seed"):
        node.attribute(name)
    training = node.constant(2)
    if training is not None and training.any():
        raise UnsupportedError("training_mode is true: its result is random")


def _nothing(to: Lowering, node: Node) -> None:
    del to, node


def _flatten(to: Lowering, node: Node) -> None:
    axis = node.attribute("axis", 1)
    if axis != 1 and axis != -len(to.shape):
        raise UnsupportedError(f"axis = {axis}: expected 1, the first after the batch")
    to.flatten()


def _reshape(to: Lowering, node: Node) -> None:
    literal = node.attribute("allowzero", 0)
    first, *rest = node.numbers(1, "shape") or [0]
    batches = {-1, BATCH, node.batch, *([] if literal else [0])}
    if node.batch is None:
        batches.add(1)  # exported for one input at a time
    if first not in batches or BATCH in rest:
        raise UnsupportedError(f"to {[first, *rest]}: expected the batch to stay as it is")
    if not literal:
        rest = [
            to.shape[k] if side == 0 and k < len(to.shape) else side for k, side in enumerate(rest)
        ]
    if first != -1 and rest.count(-1) == 1:
        others = -math.prod(rest)
        rest[rest.index(-1)] = math.prod(to.shape) // others if others > 0 else 0
    to.reshape(rest)


def _pad(to: Lowering, node: Node) -> None:
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


def _mean(to: Lowering, node: Node) -> None:
    axes = {axis % 4 for axis in node.numbers(1, "axes") or []}
    keep = node.attribute("keepdims", 1)
    if axes != {2, 3} or node.attribute("noop_with_empty_axes", 0):
        raise UnsupportedError(f"axes {sorted(axes)}: expected rows and columns, [2, 3]")
    c, *_ = to.image
    to.average_to((1, 1))
    if not keep:
        to.reshape((c,))


def _of_constant(node: Node) -> tuple[bool, Tensor]:
    """Whether the input comes first, and the constant it is combined with."""
    first = node.arguments[0] is None
    return first, node.tensor(1 if first else 0)


def _add(to: Lowering, node: Node) -> None:
    to.scale(1.0, _of_constant(node)[1])


def _sub(to: Lowering, node: Node) -> None:
    first, c = _of_constant(node)
    if first:
        to.normalize(c, 1.0)
    else:
        to.scale(-1.0, c)


def _mul(to: Lowering, node: Node) -> None:
    to.scale(_of_constant(node)[1], 0.0)


def _div(to: Lowering, node: Node) -> None:
    first, c = _of_constant(node)
    if not first:
        raise UnsupportedError("division by the input")
    to.normalize(0.0, c)


OPERATORS: dict[str, Callable[[Lowering, Node], None]] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Conv": _convolution,
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda to, _: to.average_to((1, 1)),
    "ReduceMean": _mean,
    "BatchNormalization": _batch_norm,
    "Relu": lambda to, _: to.activation(ReLU()),
    "LeakyRelu": lambda to, n: to.activation(modules.leaky_relu(n.attribute("alpha", _LEAK))),
    "Tanh": lambda to, _: to.activation(Tanh()),
    "Elu": lambda to, n: to.activation(modules.elu(n.attribute("alpha", 1.0))),
    "Identity": _nothing,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Pad": _pad,
    "Add": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
}
