"""Decoding pictures into rows of bytes, channel first, one size for all."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from certlip.data.file_tree import FileTree
from certlip.errors import InputError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "WEBP")
MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}
"""For each mode of Pillow with 8 bits or less, the one that holds it exactly."""
MAX_PIXELS = 2**24
MAX_FILE = 64 * 2**20
MAX_BYTES = 8 * 2**30
"""Limit of all decoded pictures of a split."""


def held_out(n: int) -> np.ndarray:
    """Return which of n pictures in the order of their classes are for validation, bool (n,)."""
    return np.arange(n) % 10 == 9


def is_image(name: str) -> bool:
    """Whether the name ends like that of a picture."""
    return name.lower().endswith(SUFFIXES)


def decode(data: bytes, where: str) -> np.ndarray:
    """Return a picture as it is stored (no turning by its metadata), uint8 (1 or 3, height, width).

    Raises:
        InputError: not a picture, damaged, too large, transparent, or of more than 8 bits.
    """
    image_module = _pillow(where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", image_module.DecompressionBombWarning)
            picture = image_module.open(io.BytesIO(data), formats=FORMATS)
        width, height = picture.size
        mode = MODES.get(picture.mode)
        clear = "transparency" not in picture.info
        plain = 0 < width * height <= MAX_PIXELS and mode is not None and clear
        pixels = np.asarray(picture.convert(mode)) if plain else None
    except Exception as error:  # decoders raise whatever damage makes of them
        reason = (str(error) or type(error).__name__).splitlines()[0].split(" <")[0]
        raise InputError(f"{where}: {reason}; expected a picture ({', '.join(FORMATS)})") from error
    if pixels is None:
        raise InputError(
            f"{where}: {width} × {height}, mode {picture.mode}{'' if clear else ', transparent'}; "
            f"expected grey or RGB of 8 bits, at most {MAX_PIXELS:,} pixels"
        )
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


class ImageRows:
    """Pictures of one size as rows, uint8 (n, channels · height · width).

    Grey pictures among colours get three equal channels.

    Args:
        count: How many will be put, n.
        colour: Three channels even if all are grey.
    """

    def __init__(self, count: int, *, colour: bool = False) -> None:
        self.count = count
        self.colour = colour
        self.rows = np.empty((count, 0), np.uint8)
        self.shape = (0, 0, 0)
        self.first = ""

    def put(self, i: int, data: bytes, where: str) -> None:
        """Decode one picture into row i.

        Raises:
            InputError: it cannot be decoded, or its size differs from that of the first.
        """
        pixels = decode(data, where)
        channels, height, width = pixels.shape
        if not self.first:
            self._allocate((3 if self.colour else channels, height, width), where)
        if (height, width) != self.shape[1:]:
            raise InputError(
                f"{where}: {height} × {width} pixels; expected {self.shape[1]} × {self.shape[2]} "
                f"as {self.first}"
            )
        if channels > self.shape[0]:
            self.rows = np.tile(self.rows, 3)
            self.shape = (3, height, width)
        self.rows[i].reshape(self.shape)[:] = pixels

    def _allocate(self, shape: tuple[int, int, int], where: str) -> None:
        size = self.count * math.prod(shape)
        if size > MAX_BYTES:
            raise InputError(
                f"{where}: {self.count:,} pictures of this size have {size:,} bytes; "
                f"expected at most {MAX_BYTES:,}"
            )
        self.rows, self.shape = np.zeros((self.count, math.prod(shape)), np.uint8), shape
        self.first = where


def decode_all(files: Sequence[tuple[FileTree, str]], *, colour: bool = False) -> ImageRows:
    """Decode files of trees, one row each, in their order.

    Raises:
        InputError: a file is missing or no picture, or sizes differ.
    """
    images = ImageRows(len(files), colour=colour)
    row: dict[FileTree, dict[str, int]] = {}
    for i, (tree, name) in enumerate(files):
        row.setdefault(tree, {})[name] = i
    for tree, rows in row.items():
        for name, data in tree.contents(rows, MAX_FILE):
            images.put(rows[name], data, f"{tree.path}: {name!r}")
    return images


def _pillow(where: str) -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise InputError(
            f'{where}: reading it needs the package pillow: pip install "certlip[images]"'
        ) from None
    return Image
