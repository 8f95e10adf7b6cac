"""Batches of a dataset: their order, where they lie, and the random changes of the images.

A small dataset lies on the device as it is stored; a larger one is read batch by batch, the next one while
the device works on this one. What a batch holds is a function of (seed, epoch, step) alone, so a run can
go on anywhere, with any number of processes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certlip.data import Dataset
from certlip.errors import InputError
from certlip.training.ahead import Ahead
from certlip.training.settings import Settings

RESIDENT = 2 * 2**30
"""Bytes that a dataset may take on the device: CIFAR-100 takes 0.15 GB, Tiny ImageNet 1.2 GB."""
PRIMES = (1_000_003, 8_191)


class Batches:
    """The training data of a run.

    Args:
        dtype: Of the inputs that the model takes.
        resident: The most bytes that lie on the device; 0 reads every batch from where the data lies.

    Raises:
        InputError: augmentation of samples that are no images.
    """

    def __init__(
        self,
        data: Dataset,
        settings: Settings,
        dtype: torch.dtype,
        device: str,
        resident: int = RESIDENT,
    ) -> None:
        self.data, self.settings, self.dtype, self.device = data, settings, dtype, device
        self.steps = math.ceil(len(data) / settings.batch_size)
        self.image = _image(data.shape) if settings.augment else None
        self._label = torch.tensor(data.label, device=device)
        fits = data.stored.nbytes <= resident
        # a copy: the arrays of a dataset may be read-only
        self._stored = torch.tensor(data.stored, device=device) if fits else None
        self._ahead = None if fits else Ahead(self._read)
        self._order: tuple[int, Tensor] = -1, torch.empty(0, dtype=torch.int64)

    def size(self, step: int) -> int:
        """The rows of batch `step` of an epoch."""
        return min(self.settings.batch_size, len(self.data) - step * self.settings.batch_size)

    def batch(self, epoch: int, step: int, part: slice) -> tuple[Tensor, Tensor]:
        """Inputs in raw units (n, d) and labels (n,) of some rows of a batch."""
        rows = self._rows(epoch, step, part)
        if self._ahead is None:
            x = self._resident(rows)
        else:
            x = self._ahead.get(rows).to(self.device, non_blocking=True)
            self._begin_next(epoch, step, part)
        return self._changed(x, epoch, step, part), self._label[rows.to(self.device)]

    def _begin_next(self, epoch: int, step: int, part: slice) -> None:
        """With several processes the part of a last, smaller batch is another: it is read when it comes."""
        epoch, step = divmod(epoch * self.steps + step + 1, self.steps)
        if epoch < self.settings.epochs and self._ahead is not None:
            self._ahead.begin(self._rows(epoch, step, part))

    def _rows(self, epoch: int, step: int, part: slice) -> Tensor:
        start = step * self.settings.batch_size
        return self._ordered(epoch)[start : start + self.size(step)][part]

    def _ordered(self, epoch: int) -> Tensor:
        if self._order[0] != epoch:
            self._order = epoch, torch.randperm(len(self.data), generator=self._generator(epoch))
        return self._order[1]

    def _generator(self, epoch: int, step: int | None = None) -> torch.Generator:
        seed = self.settings.seed * PRIMES[0] + epoch
        if step is not None:
            seed = (seed * PRIMES[0] + step) * PRIMES[1] + 1
        return torch.Generator().manual_seed(seed % 2**63)

    def _resident(self, rows: Tensor) -> Tensor:
        assert self._stored is not None
        x = self._stored[rows.to(self.device)].to(self.dtype)
        return x if self.data.divisor is None else x / self.data.divisor

    def _read(self, rows: Tensor) -> Tensor:
        """Inputs from where they lie, in memory that a GPU can copy from on its own."""
        x = torch.from_numpy(self.data.rows(rows.numpy())).to(self.dtype)
        return x.pin_memory() if self.device.startswith("cuda") else x

    def _changed(self, x: Tensor, epoch: int, step: int, part: slice) -> Tensor:
        if self.image is None:
            return x
        changes = self.settings.augment
        needed = [change.numbers for change in changes]
        # drawn for the whole batch, whoever computes which rows
        u = torch.rand(self.size(step), sum(needed), generator=self._generator(epoch, step))
        x = x.reshape(-1, *self.image)
        for change, numbers in zip(changes, u[part].split(needed, dim=1), strict=True):
            x = change.apply(x, numbers)
        return x.flatten(1)


def _image(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) not in (2, 3):
        raise InputError(f"augment: samples of shape {shape}; expected images")
    return (1, *shape) if len(shape) == 2 else shape
