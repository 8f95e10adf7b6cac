"""What a linear operator is here: how it acts, its adjoint, its resolvent, and its blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from certlip.linalg.solve import solve


class Operator(ABC):
    """A linear map on rows of a batch, (batch, in_width) → (batch, out_width).

    A square operator acts on `units` (neurons, or channels) that each stand for `repeat` coordinates
    (1, or the pixels of an image); multipliers and steps are given per unit.
    """

    in_width: int
    out_width: int
    repeat: int = 1

    @property
    def units(self) -> int:
        return self.out_width // self.repeat

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The real dtype of what the operator acts on."""

    @property
    @abstractmethod
    def device(self) -> torch.device: ...

    @property
    @abstractmethod
    def requires_grad(self) -> bool:
        """Whether the numbers of the operator are part of a graph."""

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """Ax per row."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Aᵀy per row."""

    @abstractmethod
    def blocks(self) -> Tensor:
        """The blocks (F, o, i) whose direct sum this operator is, up to a unitary change of basis and
        conjugates of blocks that are left out: itself, or one complex block per frequency."""

    @abstractmethod
    def from_blocks(self, blocks: Tensor) -> Operator:
        """The operator of the same structure with other blocks."""

    @abstractmethod
    def detach(self) -> Operator:
        """The same numbers without a graph."""

    def in_single(self) -> Operator:
        """The operator rounded to single precision."""
        blocks = self.blocks()
        return self.from_blocks(
            blocks.to(torch.complex64 if blocks.is_complex() else torch.float32)
        )

    def resolvent(self, alpha: float | Tensor) -> Operator:
        """(I + α(I − A))⁻¹ for a square A, α > 0 a number or a step per unit, (units,).

        Raises:
            RuntimeError: a block is singular.
        """
        A = self.blocks()
        eye = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
        step = alpha[:, None] if isinstance(alpha, Tensor) else alpha
        scaled = step * (eye - A)
        # solved against the identity: batched inverses may hang on CPU threads
        return self.from_blocks(solve(eye + scaled, eye.expand_as(A)))

    def spread(self, per_unit: Tensor) -> Tensor:
        """A value per unit (units,) as a value per coordinate (units·repeat,)."""
        return per_unit if self.repeat == 1 else per_unit.repeat_interleave(self.repeat)

    def pattern(self) -> Tensor:
        """The root mean square of each entry over all blocks, (units, units): zero exactly where a unit
        does not read the other."""
        blocks = self.blocks().detach().abs()
        largest = blocks.amax(dim=0).clamp_min(torch.finfo(blocks.dtype).tiny)
        return (blocks / largest).square().mean(dim=0).sqrt() * largest
