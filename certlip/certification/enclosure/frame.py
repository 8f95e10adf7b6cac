"""Images with the rows of a batch innermost, continued to all sides as a convolution needs them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from certlip.certification.enclosure.side_by_side import side_by_side

#: Numbers of a framed batch of images: they should stay in a processor's own cache.
CACHED = 2**18


class Frame:
    """Images of height × width pixels with (before, after) more rows and columns around them.

    Outside of the image is its other side (`"circular"`) or 0 (`"zero"`).
    """

    def __init__(
        self, height: int, width: int, rows: tuple[int, int], columns: tuple[int, int], padding: str
    ) -> None:
        self.height, self.width, self.rows, self.columns = height, width, rows, columns
        self.shape = height + sum(rows), width + sum(columns)
        self.pixels, self.inside = self.shape[0] * self.shape[1], height * width
        self.circular = padding == "circular"

    def offset(self, row: int, column: int) -> int:
        """How far behind the first pixel of the frame the one at (row, column) lies."""
        return row * self.shape[1] + column

    def around(self, x: Tensor) -> Tensor:
        """Framed images (channels, ·, ·, batch) from columns x (channels·H·W, batch) or images."""
        image = x.reshape(-1, self.height, self.width, x.shape[-1])
        if self.shape == (self.height, self.width):
            return image.contiguous()
        (top, bottom), (left, right) = self.rows, self.columns
        H, W = self.height, self.width
        new = torch.empty if self.circular else torch.zeros
        framed = new((len(image), *self.shape, x.shape[-1]), dtype=x.dtype)
        framed[:, top : top + H, left : left + W] = image
        if self.circular:  # no side is wider than the image
            framed[:, :top] = framed[:, H : H + top]
            framed[:, top + H :] = framed[:, top : top + bottom]
            framed[:, :, :left] = framed[:, :, W : W + left]
            framed[:, :, left + W :] = framed[:, :, left : left + right]
        return framed

    def corner(self, framed: Tensor) -> Tensor:
        """The first height × width pixels, where sums over taps are complete."""
        return framed[:, : self.height, : self.width]


def rows_in_cache(numbers: int) -> int:
    """How many rows of so many numbers go together: the same for any batch."""
    return min(64, max(8, CACHED // numbers))


def by_columns(
    f: Callable[[Tensor], Tensor], numbers: int, width: int, x: np.ndarray
) -> np.ndarray:
    """f of columns (d, rows) on as many rows of x (batch, d) at a time as stay in the cache.

    `numbers` counts those of the largest array per row, `width` those of the result.
    """
    rows = rows_in_cache(numbers)
    whole, y = torch.from_numpy(x), torch.empty(len(x), width, dtype=torch.float64)

    def part(own: slice) -> None:
        y[own] = f(whole[own].T.contiguous()).reshape(width, -1).T

    side_by_side(part, len(x), rows)
    return y.numpy()
