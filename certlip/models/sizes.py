"""Whole numbers of a recipe: sizes of images, flags that are 0 or 1."""

from __future__ import annotations

from certlip.errors import InputError
from certlip.layers.base import positive_sizes


def channels_of(d: int, image: tuple[int, int]) -> int:
    """The channels of d coordinates on an image.

    Raises:
        InputError: the image is empty, or d is no whole number of channels.
    """
    height, width = image
    positive_sizes("image", d=d, height=height, width=width)
    if d % (height * width):
        raise InputError(
            f"{d} inputs on images of {height}×{width} pixels: expected a multiple of {height * width}"
        )
    return d // (height * width)


def flag(name: str, value: int) -> bool:
    """A flag of a recipe.

    Raises:
        InputError: neither 0 nor 1.
    """
    if value not in (0, 1):
        raise InputError(f"{name} = {value!r}: expected 0 or 1")
    return bool(value)


def padding_of(zero_padding: int) -> str:
    """The padding that a recipe asks for."""
    return "zero" if flag("zero_padding", zero_padding) else "circular"
