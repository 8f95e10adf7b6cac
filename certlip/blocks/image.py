"""What blocks on images share: the size of the image, the padding, and kernels that fit."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.blocks.base import Block, check_counts, check_slopes, checked
from certlip.errors import InputError
from certlip.linalg.operators.stencil import PADDINGS
from certlip.linalg.torus import Torus


class ImageBlock(Block):
    """A block on images of height × width pixels, flattened channel by channel, row by row.

    A kernel K (o, i, kh, kw) acts with stride 1 as y[p] = Σ_t K[t] x[p + t − a], where
    a = ((kh − 1)//2, (kw − 1)//2); outside of the image x is 0 (`zero`) or goes on at the other side
    (`circular`). Values per channel hold for all its pixels.
    """

    height: int
    width: int

    @property
    def torus(self) -> Torus:
        return Torus(self.height, self.width)

    @property
    def pixels(self) -> int:
        return self.height * self.width


def check_image(kind: str, height: Any, width: Any, padding: Any = "circular") -> None:
    """Raises an `InputError` unless these are the sides of an image and a known padding."""
    check_counts(kind, height=height, width=width)
    if padding not in PADDINGS:
        raise InputError(f"{kind} block: padding {padding!r}: expected one of {PADDINGS}")


def checked_kernel(kind: str, name: str, value: Any, height: int, width: int) -> Tensor:
    """A kernel (o, i, kh, kw) that is no larger than the image."""
    kernel = checked(kind, name, value, ndim=4)
    if kernel.shape[2] > height or kernel.shape[3] > width:
        raise InputError(
            f"{kind} block: kernel {name} of {kernel.shape[2]}×{kernel.shape[3]} taps is larger "
            f"than the image of {height}×{width} pixels"
        )
    return kernel


def check_channels(kind: str, sigma: Sigma, channels: int, pixels: int) -> None:
    """Raises an `InputError` unless σ has slopes in [0, 1] and one kind for each whole channel."""
    check_slopes(kind, sigma)
    if any(count % pixels for _, count in sigma.segments):
        raise InputError(f"{kind} block: {sigma}: expected whole channels of {pixels} pixels")
    if sigma.width != channels * pixels:
        raise InputError(
            f"{kind} block: σ has {sigma.width} coordinates: expected {channels * pixels}"
        )


def channel_sigma(sigma: Sigma, pixels: int) -> Sigma:
    """σ per channel of a σ per coordinate that has passed `check_channels`."""
    return Sigma(tuple((kind, count // pixels) for kind, count in sigma.segments))


def pixel_sigma(sigma: Sigma, pixels: int) -> Sigma:
    """σ per coordinate of a σ per channel."""
    return Sigma(tuple((kind, count * pixels) for kind, count in sigma.segments))
