"""The processes of a run: one alone, or several that share every batch.

Each has the whole model and takes its rows of every batch. Gradients and losses are summed, so all
take the same step; the first process validates, proves and writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from certlip.errors import InconclusiveError


class Group:
    """A process that is alone."""

    rank, world = 0, 1

    @property
    def first(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    def share_of(self, rows: int) -> slice:
        """Which of the rows of a batch are this process's."""
        return slice(rows * self.rank // self.world, rows * (self.rank + 1) // self.world)

    def sum(self, values: Tensor) -> None:
        """Replaces a vector by its sum over all processes."""

    def from_first(self, value: Any) -> Any:
        """What the first process gives as `value`, on all of them."""
        return value


class Several(Group):
    """One of several processes, for which `torch.distributed` has been set up.

    Raises:
        InconclusiveError: in any exchange, if another process is gone.
    """

    def __init__(self) -> None:
        import torch.distributed as dist

        self.rank, self.world = dist.get_rank(), dist.get_world_size()

    def sum(self, values: Tensor) -> None:
        import torch.distributed as dist

        self._together(lambda: dist.all_reduce(values))

    def from_first(self, value: Any) -> Any:
        import torch.distributed as dist

        box = [value if self.first else None]
        self._together(lambda: dist.broadcast_object_list(box, 0))
        return box[0]

    def _together(self, work: Callable[[], object]) -> None:
        try:
            work()
        except RuntimeError as error:
            line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InconclusiveError(f"another process of this run is gone ({line[:120]})") from None


def current_group() -> Group:
    """The processes of this run: those of `torch.distributed` where it has been set up."""
    import torch.distributed as dist

    ready = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    return Several() if ready else Group()


def flat(tensors: list[Tensor]) -> Tensor:
    """All entries as one vector."""
    return torch.cat([t.reshape(-1) for t in tensors])
