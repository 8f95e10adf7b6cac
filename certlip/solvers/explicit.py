"""Explicit blocks as functions of rows. To add a kind: its function, and its line in `EXPLICIT`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor

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
    Window,
)
from certlip.linalg.operators import convolution
from certlip.linalg.operators.stencil import correlate, correlate_adjoint

Function = Callable[[Tensor], Tensor]


class Parts(NamedTuple):
    """A block of some explicit kind and its arrays where they will be used."""

    block: Any
    a: dict[str, Tensor]


def _normalize(p: Parts) -> Function:
    return lambda x: (x - p.a["mean"]) / p.a["std"]


def _affine(p: Parts) -> Function:
    return lambda x: x @ p.a["W"].T + p.a["b"]


def _activation(p: Parts) -> Function:
    return p.block.sigma.forward


def _residual(p: Parts) -> Function:
    sigma, a = p.block.sigma, p.a

    def run(x: Tensor) -> Tensor:
        s = sigma.forward(x @ a["W"] + a["b"])
        return x - 2.0 * (s * a["D"]) @ a["W"].T

    return run


def _convolution(p: Parts) -> Function:
    block, a = p
    operator = convolution(a["K"], block.torus, block.padding)
    b = a["b"].repeat_interleave(block.pixels)
    return lambda x: operator.apply(x) + b


def _conv_residual(p: Parts) -> Function:
    block, a = p
    K, padding, shape = a["K"], block.padding, (block.height, block.width)
    scaled, b = 2.0 * a["D"][:, None, None, None] * K, a["b"]

    def run(x: Tensor) -> Tensor:
        image = x.unflatten(1, (-1, *shape))
        v = correlate(image, K, padding, b)
        s = block.sigma.forward(v.flatten(1)).view_as(v)
        return (image - correlate_adjoint(s, scaled, padding)).flatten(1)

    return run


def _pooling(p: Parts) -> Function:
    block = p.block
    shape, k = (block.channels, block.height, block.width), block.window

    def run(x: Tensor) -> Tensor:
        image = x.unflatten(1, shape)
        return F.avg_pool2d(image, k, divisor_override=k).flatten(1)

    return run


def _resize(p: Parts) -> Function:
    return lambda x: F.pad(x, (0, p.block.q - p.block.d))


def _window(p: Parts) -> Function:
    block = p.block
    shape = block.channels, block.height, block.width

    def run(x: Tensor) -> Tensor:
        image = F.pad(x.unflatten(1, shape), block.sides)
        image = image.unflatten(2, (block.rows, block.row_step))
        image = image.unflatten(4, (block.columns, block.column_step))
        return image.permute(0, 1, 3, 5, 2, 4).flatten(1)

    return run


def _group_sort(p: Parts) -> Function:
    size = (-1, p.block.group, p.block.stride)

    def run(x: Tensor) -> Tensor:
        groups = x.unflatten(1, size)
        return groups.sort(dim=2, descending=True).values.flatten(1)

    return run


EXPLICIT: dict[type[Block], Callable[..., Function]] = {
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
