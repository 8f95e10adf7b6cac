"""What each supported function and tensor method of a traced forward pass does, as operations of a
`Lowering`. Parameters have the names and defaults of torch; X stands for the input, and what
changes nothing is deleted at once."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from certlip.blocks.activations import ReLU, Tanh
from certlip.errors import UnsupportedError
from certlip.interop import modules
from certlip.interop.lowering import Lowering


class _Name:
    """A value that is known by its name only."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


class _Shape(_Name):
    """The shape of some result: its first side is that of the batch."""

    def __getitem__(self, index: Any) -> _Name:
        if index == 0:
            return BATCH
        raise UnsupportedError(f"reads side {index} of a shape: expected that of the batch, 0")


X, BATCH, SHAPE = _Name("the input"), _Name("the size of the batch"), _Shape("a shape")


def _relu(to: Lowering, input: Any, inplace: bool = False) -> None:
    del input, inplace
    to.activation(ReLU())


def _leaky_relu(
    to: Lowering, input: Any, negative_slope: float = 0.01, inplace: bool = False
) -> None:
    del input, inplace
    to.activation(modules.leaky_relu(negative_slope))


def _tanh(to: Lowering, input: Any) -> None:
    del input
    to.activation(Tanh())


def _elu(to: Lowering, input: Any, alpha: float = 1.0, inplace: bool = False) -> None:
    del input, inplace
    to.activation(modules.elu(alpha))


def _flatten(to: Lowering, input: Any, start_dim: int = 0, end_dim: int = -1) -> None:
    del input
    modules.flatten(to, start_dim, end_dim)


def _dropout(
    to: Lowering, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> None:
    del to, input, p, inplace
    if training:
        raise UnsupportedError("training=True, in evaluation as well: its result is random")


def _average_pool(
    to: Lowering,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> None:
    del input
    parts = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    modules.average_pool(to, *parts)


def _adaptive_average_pool(to: Lowering, input: Any, output_size: Any) -> None:
    del input
    modules.adaptive_average_pool(to, output_size)


def _mean(to: Lowering, input: Any, dim: Any = None, keepdim: bool = False) -> None:
    del input
    dims = {d % 4 for d in dim} if isinstance(dim, tuple | list) else set()
    if dims != {2, 3}:
        raise UnsupportedError(f"the mean over {dim}: expected rows and columns, (2, 3)")
    c, *_ = to.image
    to.average_to((1, 1))
    if not keepdim:
        to.reshape((c,))


def _linear(to: Lowering, input: Any, weight: Tensor, bias: Tensor | None = None) -> None:
    del input
    to.dense(weight, bias)


def _reshape(to: Lowering, input: Any, *shape: Any) -> None:
    del input
    sides = list(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else [*shape]
    first, rest = (sides[0], sides[1:]) if sides else (None, [])
    numbers = [side for side in rest if type(side) is int]
    if len(numbers) < len(rest) or not (first is BATCH or (type(first) is int and first == -1)):
        raise UnsupportedError(f"shape {sides}: expected the batch and numbers")
    if numbers == [-1]:
        if first is not BATCH:
            raise UnsupportedError(f"shape {sides}: expected the batch and numbers")
        to.flatten()
        return
    if -1 in numbers:
        one = math.prod(numbers) * -1
        numbers[numbers.index(-1)] = math.prod(to.shape) // one if one > 0 else 0
    if not to.known:
        to.fixed([], (math.prod(numbers),))
    to.reshape(numbers)


def _nothing(to: Lowering, input: Any) -> None:
    del to, input


def _add(to: Lowering, input: Any, other: Any) -> None:
    _, c = _constant(input, other)
    to.scale(1.0, c)


def _sub(to: Lowering, input: Any, other: Any) -> None:
    first, c = _constant(input, other)
    if first:
        to.normalize(c, 1.0)
    else:
        to.scale(-1.0, c)


def _mul(to: Lowering, input: Any, other: Any) -> None:
    _, c = _constant(input, other)
    to.scale(c, 0.0)


def _div(to: Lowering, input: Any, other: Any) -> None:
    first, c = _constant(input, other)
    if not first:
        raise UnsupportedError("division by the input")
    to.normalize(0.0, c)


def _neg(to: Lowering, input: Any) -> None:
    del input
    to.scale(-1.0, 0.0)


def _constant(a: Any, b: Any) -> tuple[bool, Any]:
    """Whether the input comes first, and the constant it is combined with."""
    first, c = (True, b) if a is X else (False, a)
    if not isinstance(c, Tensor | int | float) or isinstance(c, bool):
        raise UnsupportedError("expected the input and a constant; branches have no rule")
    return first, c


Rule = Callable[..., None]

#: By the function itself.
FUNCTIONS: dict[Any, Rule] = {
    **dict.fromkeys((F.relu, torch.relu, torch.relu_), _relu),
    F.leaky_relu: _leaky_relu,
    **dict.fromkeys((torch.tanh, F.tanh), _tanh),
    F.elu: _elu,
    torch.flatten: _flatten,
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d), _dropout),
    F.avg_pool2d: _average_pool,
    F.adaptive_avg_pool2d: _adaptive_average_pool,
    torch.mean: _mean,
    F.linear: _linear,
    torch.reshape: _reshape,
    **dict.fromkeys((operator.add, torch.add), _add),
    **dict.fromkeys((operator.sub, torch.sub), _sub),
    **dict.fromkeys((operator.mul, torch.mul), _mul),
    **dict.fromkeys((operator.truediv, torch.div), _div),
    **dict.fromkeys((operator.neg, torch.neg), _neg),
}

#: By the name of the method.
METHODS: dict[str, Rule] = {
    **dict.fromkeys(("relu", "relu_"), _relu),
    **dict.fromkeys(("tanh", "tanh_"), _tanh),
    "flatten": _flatten,
    "mean": _mean,
    **dict.fromkeys(("view", "reshape"), _reshape),
    **dict.fromkeys(("contiguous", "detach", "clone"), _nothing),
    **dict.fromkeys(("add", "add_"), _add),
    **dict.fromkeys(("sub", "sub_"), _sub),
    **dict.fromkeys(("mul", "mul_"), _mul),
    **dict.fromkeys(("div", "div_"), _div),
    "neg": _neg,
}

#: Where the input may come second.
ELEMENTWISE = (_add, _sub, _mul, _div)
