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
from certlip.interop.lowering import Lowering
from certlip.interop.onnx_node import BATCH, Node
from certlip.interop.onnx_windows import average_pool, convolution, pad

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
    "Conv": convolution,
    "AveragePool": average_pool,
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
    "Pad": pad,
    "Add": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
}
