"""Each kind of block as a line of a torch model and the numbers of that line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

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
from certlip.blocks.image import channel_sigma
from certlip.interop.export import plain

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One line of the model: what makes the layer, its numbers, and the shapes around it."""

    source: str
    takes: Shape | None = None
    """Without the batch; None: any shape, which it keeps."""
    gives: Shape | None = None
    state: dict[str, Tensor] = field(default_factory=dict)
    needs: tuple[type[nn.Module], ...] = ()
    """Layers of `plain` that the line uses."""


def _activation(sigma: Sigma) -> tuple[str, tuple[type[nn.Module], ...]]:
    """The source of σ, and what of `plain` it uses."""
    kinds = [(_KINDS[kind.name](kind), count) for kind, count in sigma.segments]
    if len(kinds) == 1:
        return kinds[0][0], ()
    return f"Segments({', '.join(f'({kind}, {n})' for kind, n in kinds)})", (plain.Segments,)


_KINDS: dict[str, Callable[[Any], str]] = {
    "identity": lambda _: "nn.Identity()",
    "relu": lambda _: "nn.ReLU()",
    "leaky_relu": lambda kind: f"nn.LeakyReLU({kind.slope!r})",
    "tanh": lambda _: "nn.Tanh()",
    "elu": lambda kind: f"nn.ELU({kind.alpha!r})",
}


def _vector(block: Block, source: str, *needs: type[nn.Module], **state: Tensor) -> Layer:
    return Layer(source, (block.in_width,), (block.out_width,), state, needs)


def _of_activation(block: Activation) -> Layer:
    source, needs = _activation(block.sigma)
    if not needs:  # the same for every entry, in whatever shape they come
        return Layer(source)
    return _vector(block, source, *needs)


def _of_affine(block: Affine) -> Layer:
    source = f"nn.Linear({block.in_width}, {block.out_width})"
    return _vector(block, source, weight=block.W, bias=block.b)


def _of_residual(block: Residual) -> Layer:
    sigma, needs = _activation(block.sigma)
    source = f"Residual({block.W.shape[0]}, {block.W.shape[1]}, {sigma})"
    return _vector(block, source, *needs, plain.Residual, W=block.W, D=block.D, b=block.b)


def _images(block: Any, before: int, after: int) -> tuple[Shape, Shape]:
    return (before, block.height, block.width), (after, block.height, block.width)


def _of_convolution(block: Convolution) -> Layer:
    out, into, rows, columns = block.K.shape
    mode = {"zero": "zeros", "circular": "circular"}[block.padding]
    source = f'nn.Conv2d({into}, {out}, ({rows}, {columns}), padding="same", padding_mode="{mode}")'
    return Layer(source, *_images(block, into, out), {"weight": block.K, "bias": block.b})


def _of_conv_residual(block: ConvResidual) -> Layer:
    sigma, needs = _activation(channel_sigma(block.sigma, block.pixels))
    mode = {"zero": "constant", "circular": "circular"}[block.padding]
    source = f'ConvResidual({tuple(block.K.shape)}, "{mode}", {sigma})'
    c = block.K.shape[1]
    state = {"K": block.K, "D": block.D, "b": block.b}
    return Layer(source, *_images(block, c, c), state, (*needs, plain.ConvResidual))


def _of_pooling(block: Pooling) -> Layer:
    k, c = block.window, block.channels
    takes, gives = (c, block.height, block.width), (c, block.height // k, block.width // k)
    return Layer(f"nn.AvgPool2d({k}, divisor_override={k})", takes, gives)


def _of_window(block: Window) -> Layer:
    c = block.channels
    gives = (c * block.row_step * block.column_step, block.rows, block.columns)
    source = f"Window({block.sides}, {block.rows}, {block.columns})"
    return Layer(source, (c, block.height, block.width), gives, {}, (plain.Window,))


LAYERS: dict[type[Block], Callable[[Any], Layer]] = {
    Normalize: lambda block: _vector(
        block, f"Normalize({block.in_width})", plain.Normalize, mean=block.mean, std=block.std
    ),
    Affine: _of_affine,
    Activation: _of_activation,
    Residual: _of_residual,
    Convolution: _of_convolution,
    ConvResidual: _of_conv_residual,
    Pooling: _of_pooling,
    Resize: lambda block: _vector(block, f"Resize({block.q - block.d})", plain.Resize),
    Window: _of_window,
    GroupSort: lambda block: _vector(
        block, f"GroupSort({block.group}, {block.stride})", plain.GroupSort
    ),
}
