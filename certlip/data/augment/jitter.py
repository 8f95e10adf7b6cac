"""Brightness, contrast, saturation and hue of colour images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.data.augment.base import Augmentation
from certlip.errors import InputError

GREY = (0.2989, 0.587, 0.114)
"""The weights of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""


@dataclass(frozen=True)
class Jitter(Augmentation):
    """The four changes in an order of their own for every image, pixels kept in [0, 1].

    A factor f makes a·f + b·(1 − f) of the image a and what it is mixed with: black (brightness), its mean
    grey (contrast), its grey pixels (saturation). The recipes of Araujo et al. (2023) and Havens et al.
    (2023) have brightness 0.1, contrast and saturation as ranges, hue 0.02.

    Args:
        brightness: Factors from 1 − b to 1 + b, b in [0, 1].
        contrast, saturation: The lowest and the highest factor, ≥ 0.
        hue: Turns of the colour circle, from −h to h, h in [0, 1/2].
    """

    name = "jitter"
    numbers = 8
    brightness: float = 0.1
    contrast: tuple[float, float] = (0.5, 2.0)
    saturation: tuple[float, float] = (0.3, 2.0)
    hue: float = 0.02

    def __post_init__(self) -> None:
        for name, most in (("brightness", 1.0), ("hue", 0.5)):
            if not 0.0 <= getattr(self, name) <= most:
                raise InputError(f"{name} = {getattr(self, name)!r}: expected 0 to {most:g}")
        for name in ("contrast", "saturation"):
            range_ = tuple(getattr(self, name))
            if len(range_) != 2 or not 0.0 <= range_[0] <= range_[1] < float("inf"):
                raise InputError(f"{name} = {range_}: expected two numbers, 0 ≤ low ≤ high")
            object.__setattr__(self, name, range_)

    def apply(self, x: Tensor, u: Tensor) -> Tensor:
        if x.shape[1] != 3:
            raise InputError(f"jitter: images of {x.shape[1]} channels; expected red, green, blue")
        changes: list[tuple[Callable[[Tensor, Tensor], Tensor], tuple[float, float]]] = [
            (_brighter, (1.0 - self.brightness, 1.0 + self.brightness)),
            (_contrasted, self.contrast),
            (_saturated, self.saturation),
            (_turned, (-self.hue, self.hue)),
        ]
        order = u[:, :4].argsort(1)
        x = x.clone()
        for turn in range(4):
            for k, (change, (low, high)) in enumerate(changes):
                rows = (order[:, turn] == k).nonzero()[:, 0]
                if len(rows):
                    f = (low + (high - low) * u[rows, 4 + k]).to(x)[:, None, None, None]
                    at = rows.to(x.device)
                    x[at] = change(x[at], f)
        return x


def _grey(x: Tensor) -> Tensor:
    """(n, 1, h, w)"""
    red, green, blue = x.unbind(1)
    return (GREY[0] * red + GREY[1] * green + GREY[2] * blue)[:, None]


def _brighter(x: Tensor, f: Tensor) -> Tensor:
    return (f * x).clamp(0.0, 1.0)


def _contrasted(x: Tensor, f: Tensor) -> Tensor:
    mean = _grey(x).mean((1, 2, 3), keepdim=True)
    return (f * x + (1.0 - f) * mean).clamp(0.0, 1.0)


def _saturated(x: Tensor, f: Tensor) -> Tensor:
    return (f * x + (1.0 - f) * _grey(x)).clamp(0.0, 1.0)


def _turned(x: Tensor, f: Tensor) -> Tensor:
    """The colour circle turned by f, value and chroma of every pixel kept.

    On the circle, counted from 0 to 6, a channel that stands at s = (n + hue) mod 6 with n = 5, 3, 1 for
    red, green and blue is value − chroma·min(s, 4 − s), the minimum taken into [0, 1].
    """
    red, green, blue = x.unbind(1)
    value, low = x.amax(1), x.amin(1)
    chroma = value - low
    safe = torch.where(chroma > 0.0, chroma, 1.0)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe),
    )
    start = torch.tensor((5.0, 3.0, 1.0), dtype=x.dtype, device=x.device)[:, None, None]
    at = torch.remainder(start + (hue[:, None] + 6.0 * f), 6.0)
    return value[:, None] - chroma[:, None] * torch.minimum(at, 4.0 - at).clamp(0.0, 1.0)
