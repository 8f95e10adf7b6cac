"""Shifts by whole pixels, as by cutting from a padded image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.data.augment.base import Augmentation
from certlip.errors import InputError


@dataclass(frozen=True)
class Crop(Augmentation):
    """A piece of the size of the image, cut at random from the image continued by reflection.

    Args:
        padding: Pixels on every side, 0 to side − 1.
    """

    name = "crop"
    numbers = 2
    padding: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.padding, int) or self.padding < 0:
            raise InputError(f"padding = {self.padding!r}: expected a whole number ≥ 0")

    def apply(self, x: Tensor, u: Tensor) -> Tensor:
        channels, height, width = x.shape[1:]
        if self.padding >= min(height, width):
            raise InputError(
                f"crop: padding = {self.padding} of images of {height}×{width} pixels; "
                "a reflection needs less than their size"
            )
        shift = (u * (2 * self.padding + 1)).long() - self.padding
        rows = _reflected(torch.arange(height) + shift[:, :1], height).to(x.device)
        columns = _reflected(torch.arange(width) + shift[:, 1:], width).to(x.device)
        place = (rows * width)[:, :, None] + columns[:, None, :]  # (n, h, w)
        flat = place.flatten(1)[:, None].expand(-1, channels, -1)
        return x.flatten(2).gather(2, flat).reshape(x.shape)


def _reflected(index: Tensor, size: int) -> Tensor:
    """−1, −2, … become 1, 2, …, and size, size + 1, … become size − 2, size − 3, …"""
    return (size - 1) - ((size - 1) - index.abs()).abs()
