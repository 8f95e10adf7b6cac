"""Reading the next batch while this one is worked on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor


class Ahead:
    """Rows of the data, of which a thread has read the next before they are asked for.

    What is asked for decides what comes; what was begun only decides how soon.

    Args:
        read: The inputs of some rows, a function of the rows alone.
    """

    def __init__(self, read: Callable[[Tensor], Tensor]) -> None:
        self._read = read
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="certlip-batches")
        self._begun: tuple[Tensor, Future[Tensor]] | None = None

    def get(self, rows: Tensor) -> Tensor:
        """The inputs of the rows; an error of the thread is raised here."""
        begun, self._begun = self._begun, None
        if begun is not None and torch.equal(begun[0], rows):
            return begun[1].result()
        return self._read(rows)

    def begin(self, rows: Tensor) -> None:
        """Lets the thread read the rows that are likely to be asked for next."""
        self._begun = rows, self._thread.submit(self._read, rows)
