"""A part of an image, with zeros around it, and its pixels sorted by phase: what strides and paddings are
made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from certlip.blocks.base import check_counts
from certlip.blocks.image import ImageBlock, check_image
from certlip.errors import InputError


@dataclass(frozen=True, eq=False)
class Window(ImageBlock):
    """Images of rows × columns pixels whose channels are the phases of the channels of the input.

    y[(c·row_step + a)·column_step + b, i, j] = x[c, top + row_step·i + a, left + column_step·j + b], which
    is 0 outside of the image. Every number is moved at most once: Lipschitz constant 1, and no rounding.
    With both steps 1 it crops and pads; a convolution of stride s is one of stride 1 on the s² phases.
    """

    channels: int
    height: int
    width: int
    top: int
    left: int
    rows: int
    columns: int
    row_step: int
    column_step: int

    kind = "window"
    plain_names = (
        *("channels", "height", "width", "top", "left"),
        *("rows", "columns", "row_step", "column_step"),
    )

    def __post_init__(self) -> None:
        check_image(self.kind, self.height, self.width)
        check_counts(self.kind, channels=self.channels, rows=self.rows, columns=self.columns)
        check_counts(self.kind, row_step=self.row_step, column_step=self.column_step)
        self._check_start("top", self.top, self.rows * self.row_step, self.height)
        self._check_start("left", self.left, self.columns * self.column_step, self.width)

    def _check_start(self, name: str, start: Any, length: int, side: int) -> None:
        if not isinstance(start, int) or isinstance(start, bool) or not -length < start < side:
            raise InputError(
                f"{self.kind} block: {name} = {start!r}: expected a whole number from {1 - length} to "
                f"{side - 1}, where the window meets the image"
            )

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Zeros to append left, right, above and below; a negative number of them is cut off."""
        right = self.left + self.columns * self.column_step - self.width
        below = self.top + self.rows * self.row_step - self.height
        return -self.left, right, -self.top, below

    @property
    def in_width(self) -> int:
        return self.channels * self.pixels

    @property
    def out_width(self) -> int:
        phases = self.row_step * self.column_step
        return self.channels * phases * self.rows * self.columns

    def describe(self) -> str:
        text = f"{self.channels} channels, {self.height}×{self.width} → {self.rows}×{self.columns}"
        if self.row_step == self.column_step == 1:
            return text
        return f"{text}, {self.row_step}×{self.column_step} phases"
