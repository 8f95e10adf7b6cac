"""Small pictures as PNG files inside of a page."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray as Array

LARGEST = 96
"""Pixels along the longer side; larger pictures are shown as means of squares of pixels."""
PREFIX = "data:image/png;base64,"


def shows(shape: tuple[int, ...]) -> bool:
    """Whether samples of that shape are pictures: (h, w), (1, h, w) or (3, h, w)."""
    return min(shape) > 0 and (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3)))


def data_uri(x: Array, shape: tuple[int, ...]) -> str:
    """One sample of numbers in [0, 1] as a PNG of 8 bits, grey or RGB; what lies outside is cut off.

    Args:
        x: (d,), channel by channel.
        shape: One that `shows`.
    """
    import numpy as np

    image = x.reshape(shape if len(shape) == 3 else (1, *shape))
    k = -(-max(image.shape[1:]) // LARGEST)
    c, rows, columns = image.shape[0], *(-(-side // k) for side in image.shape[1:])
    if k > 1:  # the last row and column of squares go over the border, where the edge goes on
        sides = [
            (0, 0),
            *((0, k * n - side) for n, side in zip((rows, columns), image.shape[1:], strict=True)),
        ]
        image = np.pad(image, sides, mode="edge").reshape(c, rows, k, columns, k).mean((2, 4))
    pixels = np.rint(np.clip(np.nan_to_num(image), 0.0, 1.0) * 255.0).astype(np.uint8)
    content = _png(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return PREFIX + base64.b64encode(content).decode()


def _png(pixels: Array) -> bytes:
    """A PNG file of bytes (h, w, 1) or (h, w, 3): every row without a filter, then packed."""
    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
