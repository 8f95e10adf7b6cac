"""A strictly block lower-triangular matrix: products, adjoints and resolvents without its zeros."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.linalg.operators.dense import Dense
from certlip.linalg.triangular import strict_lower_blocks

MOST_PARTS = 64  # more blocks than this cost more in calls than their zeros save


class BlockLower(Dense):
    """x ↦ Ax for A (n, n) with exact zeros on and above its diagonal blocks.

    Args:
        A: The matrix.
        parts: The consecutive blocks B, A[B, j] = 0 for every j ≥ B.start.
    """

    def __init__(self, A: Tensor, parts: list[slice]) -> None:
        super().__init__(A)
        self.parts = parts

    @classmethod
    def of(cls, A: Tensor) -> BlockLower | None:
        """The operator of a matrix that has this structure in storage, else None."""
        if A.shape[0] != A.shape[1]:
            return None
        parts = strict_lower_blocks(A.detach().cpu().numpy())
        return None if parts is None or len(parts) > MOST_PARTS else cls(A, parts)

    def apply(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, : B.start] @ self.A[B, : B.start].mT for B in self.parts], dim=1)

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.cat([y[:, B.stop :] @ self.A[B.stop :, B] for B in self.parts], dim=1)

    def resolvent(self, alpha: float | Tensor) -> BlockLowerResolvent:
        return BlockLowerResolvent(self, alpha)

    def detach(self) -> BlockLower:
        return BlockLower(self.A.detach(), self.parts)


class BlockLowerResolvent(Dense):
    """(I + α(I − A))⁻¹ for α a number or per unit: lower-triangular with diagonal 1/(1 + α)."""

    def __init__(self, A: BlockLower, alpha: float | Tensor) -> None:
        n = A.units
        step = torch.as_tensor(alpha, dtype=A.dtype, device=A.device).expand(n)
        eye = torch.eye(n, dtype=A.dtype, device=A.device)
        matrix = (1.0 + step)[:, None] * eye - step[:, None] * A.A
        super().__init__(torch.linalg.solve_triangular(matrix, eye, upper=False))
