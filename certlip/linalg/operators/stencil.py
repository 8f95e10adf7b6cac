"""Convolution with a small kernel, computed directly; circular or zero padding, stride 1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from certlip.linalg.operators.base import Operator
from certlip.linalg.torus import Torus, anchor

PADDINGS = ("circular", "zero")


class Stencil(Operator):
    """x ↦ K ∗ x for K (o, i, kh, kw): y[p] = Σ_t K[t] x[p + t − anchor], same size as the image."""

    def __init__(self, kernel: Tensor, torus: Torus, padding: str = "circular") -> None:
        self.kernel, self.torus, self.padding = kernel, torus, padding
        self.repeat = torus.pixels
        self.out_width = kernel.shape[0] * torus.pixels
        self.in_width = kernel.shape[1] * torus.pixels

    @property
    def dtype(self) -> torch.dtype:
        return self.kernel.dtype

    @property
    def device(self) -> torch.device:
        return self.kernel.device

    @property
    def requires_grad(self) -> bool:
        return self.kernel.requires_grad

    def apply(self, x: Tensor) -> Tensor:
        image = x.unflatten(1, (-1, self.torus.height, self.torus.width))
        return correlate(image, self.kernel, self.padding).flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        image = y.unflatten(1, (-1, self.torus.height, self.torus.width))
        return correlate_adjoint(image, self.kernel, self.padding).flatten(1)

    def blocks(self) -> Tensor:
        """With circular padding only: zero padding has no blocks."""
        if self.padding != "circular":
            raise ValueError("a convolution with zero padding has no blocks per frequency")
        return self.torus.spectrum(self.kernel)

    def from_blocks(self, blocks: Tensor) -> Operator:
        from certlip.linalg.operators.circulant import Circulant

        return Circulant(blocks, self.torus)

    def detach(self) -> Stencil:
        return Stencil(self.kernel.detach(), self.torus, self.padding)


def correlate(x: Tensor, K: Tensor, padding: str, bias: Tensor | None = None) -> Tensor:
    """K ∗ x + b for images x (batch, i, H, W), K (o, i, kh, kw) and b (o,): (batch, o, H, W)."""
    kh, kw = K.shape[2:]
    return _correlate(x, K, padding, (anchor(kh), anchor(kw)), bias)


def correlate_adjoint(y: Tensor, K: Tensor, padding: str) -> Tensor:
    """The adjoint of `correlate` without bias, exactly: images y (batch, o, H, W) to (batch, i, H, W)."""
    # y[p] = Σ_t K[t]x[p + t − a] has the adjoint x[p] = Σ_t K[t]y[p − t + a]: the kernel turned by 180°,
    # with its anchor mirrored as well
    kh, kw = K.shape[2:]
    mirrored = (kh - 1 - anchor(kh), kw - 1 - anchor(kw))
    return _correlate(y, K.flip(2, 3).transpose(0, 1), padding, mirrored)


def _correlate(
    x: Tensor, K: Tensor, padding: str, before: tuple[int, int], bias: Tensor | None = None
) -> Tensor:
    kh, kw = K.shape[2:]
    top, left = before
    sides = (left, kw - 1 - left, top, kh - 1 - top)
    if padding == "zero" and kh % 2 and kw % 2:
        return F.conv2d(x, K, bias, padding=(top, left))  # without a copy
    if any(sides):
        x = _Around.apply(x, sides) if padding == "circular" else F.pad(x, sides)
    return F.conv2d(x, K, bias)


class _Around(torch.autograd.Function):
    """The image continued at the other side; its adjoint adds what was continued to where it came from."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, sides: tuple[int, int, int, int]) -> Tensor:
        return F.pad(x, sides, mode="circular")

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        del output
        ctx.sides = inputs[1]

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, None]:
        left, right, top, bottom = ctx.sides
        return _folded(_folded(g, -2, top, bottom), -1, left, right), None


def _folded(g: Tensor, axis: int, before: int, after: int) -> Tensor:
    """What lies outside of the image along an axis, added at the other side."""
    size = g.shape[axis] - before - after
    inside = g.narrow(axis, before, size).clone()
    if before:
        inside.narrow(axis, size - before, before).add_(g.narrow(axis, 0, before))
    if after:
        inside.narrow(axis, 0, after).add_(g.narrow(axis, before + size, after))
    return inside
