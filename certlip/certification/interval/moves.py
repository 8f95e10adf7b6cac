"""Numbers that are moved, left out, added up or sorted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from certlip.blocks import GroupSort, Pooling, Resize, Window
from certlip.certification.enclosure import image
from certlip.certification.enclosure.base import Local
from certlip.certification.interval.base import Step
from certlip.certification.interval.box import between, ends
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, gamma


class Move(Step):
    """Every number goes to one place at most, and the others are 0: exact. `width` counts the inputs."""

    linear = True

    def __init__(self, move: Callable[[np.ndarray], Local], width: int) -> None:
        self.move, self.width = move, width

    def __call__(self, box: Ball) -> Ball:
        return Ball(self.move(box.mid).y, self.move(box.radius()).y)

    def source(self) -> np.ndarray:
        """Which input every output is, (outputs,); `width` where it is 0."""
        numbers = self.move(np.arange(1.0, self.width + 1.0)[None]).y[0].astype(np.int64)
        return np.where(numbers == 0, self.width, numbers - 1)


class Pool(Step):
    """Sums of windows, divided by their side."""

    linear = True

    def __init__(self, block: Pooling) -> None:
        self.block, self.k = block, block.window

    def __call__(self, box: Ball) -> Ball:
        windows = self._sums(np.abs(box.mid))
        rad = self._sums(box.radius()) + gamma(self.k**2 + 1) * windows
        return Ball(self._sums(box.mid), rad * (1.0 + 2.0 * gamma(self.k**2 + 8)) + TINY)

    def _sums(self, x: np.ndarray) -> np.ndarray:
        return image.pooling(self.block, x).y


class Sort(Step):
    """The i-th largest of some numbers is nondecreasing in each of them."""

    def __init__(self, block: GroupSort) -> None:
        self.block = block

    def __call__(self, box: Ball) -> Ball:
        low, high = ends(box)
        # what says nothing (a sum that overflowed) may come first as well as last
        low[np.isnan(low)], high[np.isnan(high)] = -np.inf, np.inf
        return between(*(image.group_sort(self.block, end).y for end in (low, high)))


def resize(block: Resize) -> list[Step]:
    return [Move(partial(image.resize, block), block.in_width)]


def window(block: Window) -> list[Step]:
    return [Move(partial(image.window, block), block.in_width)]


def pooling(block: Pooling) -> list[Step]:
    return [Pool(block)]


def group_sort(block: GroupSort) -> list[Step]:
    return [Sort(block)]
