"""What each supported torch module does, as operations of a `Lowering`. To add one: a function, a line
in `MODULES`, a test row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from certlip.blocks.activations import ELU, LeakyReLU, ReLU, Tanh
from certlip.errors import InputError, UnsupportedError
from certlip.interop.kernels import Pair, Sides
from certlip.interop.lowering import Lowering


def pair(value: Any) -> Pair:
    """(rows, columns) of what torch takes as one number or two."""
    a, b = value if isinstance(value, tuple | list) else (value, value)
    return int(a), int(b)


def leaky_relu(slope: float) -> LeakyReLU:
    """Raises an `UnsupportedError` unless its slopes lie in [0, 1]."""
    if not 0.0 <= slope <= 1.0:
        raise UnsupportedError(f"negative slope {slope}: expected a number in [0, 1]")
    return LeakyReLU(slope)


def elu(alpha: float) -> ELU:
    """Raises an `UnsupportedError` unless its slopes lie in [0, 1]."""
    if not 0.0 <= alpha <= 1.0:
        raise UnsupportedError(f"alpha = {alpha}: expected a number in [0, 1]")
    return ELU(alpha)


def average_pool(
    to: Lowering,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> None:
    """The arguments of `avg_pool2d`, in their order."""
    (kh, kw), (ph, pw) = pair(kernel), pair(padding)
    sh, sw = (kh, kw) if stride is None or stride == [] else pair(stride)
    _, height, width = to.image
    if (ph or pw) and not count_include_pad and divisor_override is None:
        raise UnsupportedError(
            "count_include_pad=False with padding: windows differ in their divisor"
        )
    if ceil_mode and ((height + 2 * ph - kh) % sh or (width + 2 * pw - kw) % sw):
        raise UnsupportedError("ceil_mode=True where windows reach over the border")
    to.average((kh, kw), stride=(sh, sw), padding=(ph, ph, pw, pw), divisor=divisor_override)


def adaptive_average_pool(to: Lowering, size: Any) -> None:
    """The argument of `adaptive_avg_pool2d`: pixels that come out, None for as many as there are."""
    _, *image = to.image
    rows, columns = size if isinstance(size, tuple | list) else (size, size)
    to.average_to((image[0] if rows is None else rows, image[1] if columns is None else columns))


def batch_norm(
    to: Lowering,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> None:
    """w (x − mean)/√(variance + eps) + b per channel: what batch normalisation is in evaluation."""
    if mean is None or variance is None:
        raise UnsupportedError("no running statistics: in evaluation too it depends on the batch")
    mean, variance = mean.double(), variance.double()
    if not bool((variance + eps > 0).all()):
        raise InputError("a running variance + eps that is not positive")
    scale = (
        (variance + eps).rsqrt() if weight is None else weight.double() / (variance + eps).sqrt()
    )
    to.per_channel(scale, (0.0 if bias is None else bias.double()) - mean * scale)


def flatten(to: Lowering, start: int = 1, end: int = -1) -> None:
    """The arguments of `flatten`: all axes but that of the batch."""
    last = -1 if not to.known or end in (-1, len(to.shape)) else end
    if (start, last) != (1, -1):
        raise UnsupportedError(f"flattens the axes {start} to {end}: expected 1 to −1")
    to.flatten()


def _linear(module: nn.Linear, to: Lowering) -> None:
    to.dense(module.weight, module.bias)


def _convolution(module: nn.Conv2d, to: Lowering) -> None:
    modes = {"zeros": "zero", "circular": "circular"}
    if module.padding_mode not in modes:
        raise UnsupportedError(f"padding_mode {module.padding_mode!r}: expected one of {[*modes]}")
    kernel, stride, dilation = (
        pair(p) for p in (module.kernel_size, module.stride, module.dilation)
    )
    to.convolution(
        module.weight,
        module.bias,
        stride=stride,
        padding=_padding(module.padding, kernel, dilation),
        mode=modes[module.padding_mode],
        dilation=dilation,
        groups=module.groups,
    )


def _padding(padding: Any, kernel: Pair, dilation: Pair) -> Sides:
    """Above, below, left and right; "same" puts the odd pixel below and on the right."""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":
        rows, columns = (d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
        return rows // 2, rows - rows // 2, columns // 2, columns - columns // 2
    ph, pw = pair(padding)
    return ph, ph, pw, pw


def _batch_norm(module: Any, to: Lowering) -> None:
    axes = 1 if isinstance(module, nn.BatchNorm1d) else 3
    if len(to.shape) != axes:
        raise UnsupportedError(f"input of shape {to.shape}: expected {axes} axes")
    statistics = module.running_mean, module.running_var
    batch_norm(to, *statistics, module.weight, module.bias, module.eps)


def _average_pool(module: nn.AvgPool2d, to: Lowering) -> None:
    parts = module.kernel_size, module.stride, module.padding, module.ceil_mode
    average_pool(to, *parts, module.count_include_pad, module.divisor_override)


def _zero_pad(module: nn.ZeroPad2d, to: Lowering) -> None:
    left, right, above, below = module.padding
    to.pad((above, below, left, right))


def _unflatten(module: nn.Unflatten, to: Lowering) -> None:
    size: Any = module.unflattened_size
    if module.dim not in (1, -1) or any(not isinstance(side, int) for side in size):
        raise UnsupportedError("expected one axis of numbers, number 1")
    if to.known and len(to.shape) != 1:
        raise UnsupportedError(f"input of shape {to.shape}: expected one axis")
    if not to.known:
        to.fixed([], (torch.Size(size).numel(),))
    to.reshape(tuple(size))


def _nothing(module: nn.Module, to: Lowering) -> None:
    """The identity, as dropout is in evaluation."""


MODULES: dict[type[nn.Module], Callable[[Any, Lowering], None]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: lambda _, to: to.activation(ReLU()),
    nn.LeakyReLU: lambda module, to: to.activation(leaky_relu(module.negative_slope)),
    nn.Tanh: lambda _, to: to.activation(Tanh()),
    nn.ELU: lambda module, to: to.activation(elu(module.alpha)),
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: lambda module, to: adaptive_average_pool(to, module.output_size),
    nn.ZeroPad2d: _zero_pad,
    nn.Flatten: lambda module, to: flatten(to, module.start_dim, module.end_dim),
    nn.Unflatten: _unflatten,
    nn.Identity: _nothing,
    nn.Dropout: _nothing,
    nn.Dropout1d: _nothing,
    nn.Dropout2d: _nothing,
    nn.AlphaDropout: _nothing,
}
