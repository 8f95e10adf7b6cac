"""Parts of a batch on all threads at once, each of them on one.

Parts that fit a processor's cache are too small to be shared by its cores: a library that tries spends
more on it than it gains. What a part gives does not depend on how many of them run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch


def side_by_side(f: Callable[[slice], Any], rows: int, step: int) -> list[Any]:
    """f of the slices that cut `rows` into steps, in order; torch uses no other threads meanwhile."""
    parts = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
    threads = torch.get_num_threads()
    if threads == 1 or len(parts) == 1:
        return [f(part) for part in parts]
    warnings = np.geterr()  # every thread has its own

    def quietly(part: slice) -> Any:
        with np.errstate(**warnings):
            return f(part)

    torch.set_num_threads(1)
    try:
        return list(_pool(threads).map(quietly, parts))
    finally:
        torch.set_num_threads(threads)


def in_parts(
    f: Callable[..., tuple[np.ndarray, ...]], step: int, *inputs: np.ndarray
) -> tuple[np.ndarray, ...]:
    """f on `step` rows of the inputs at a time, side by side; its results one after the other."""

    def part(rows: slice) -> tuple[np.ndarray, ...]:
        return f(*(array[rows] for array in inputs))

    return stacked(side_by_side(part, len(inputs[0]), step))


def in_steps(
    f: Callable[..., tuple[np.ndarray, ...]], step: int, *inputs: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The same in turn, for steps whose products are large enough for all threads.

    Only the first thread of a process gets the room of such arrays again without having it cleared.
    """
    starts = range(0, len(inputs[0]), step)
    return stacked([f(*(array[start : start + step] for array in inputs)) for start in starts])


def stacked(parts: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """Results of parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def product(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """A B (…, m, n), by torch's library.

    NumPy has one of its own, whose threads would keep waiting for more work on the cores that are
    wanted here.
    """
    return (torch.from_numpy(A) @ torch.from_numpy(B)).numpy()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    # the number of threads is one's own in every thread
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
