"""An operator that is a matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.linalg.operators.base import Operator


class Dense(Operator):
    """x ↦ Ax for A (o, i)."""

    def __init__(self, A: Tensor) -> None:
        self.A = A
        self.out_width, self.in_width = A.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.A.dtype

    @property
    def device(self) -> torch.device:
        return self.A.device

    @property
    def requires_grad(self) -> bool:
        return self.A.requires_grad

    def apply(self, x: Tensor) -> Tensor:
        return x @ self.A.mT

    def adjoint(self, y: Tensor) -> Tensor:
        return y @ self.A

    def blocks(self) -> Tensor:
        return self.A[None]

    def from_blocks(self, blocks: Tensor) -> Dense:
        return Dense(blocks[0])

    def detach(self) -> Dense:
        return Dense(self.A.detach())
