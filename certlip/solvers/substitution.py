"""Forward substitution: exact, one pass, for W strictly block lower-triangular in storage."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.linalg.triangular import strict_lower_blocks
from certlip.solvers.base import EquilibriumSolver, Solution


class Substitution(EquilibriumSolver):
    """z_B = σ(W_{B,<B} z_{<B} + c_B), block after block (equation (14) read from top to bottom)."""

    name = "substitution"

    def __init__(self, W: Tensor, sigma: Sigma, *, tol: float | None = None) -> None:
        super().__init__(W, sigma, tol=tol, max_iter=1)
        blocks = strict_lower_blocks(W.detach().cpu().numpy())
        if blocks is None:
            raise ValueError("forward substitution needs a strictly lower-triangular W")
        self.parts = [(B, sigma.part(B.start, B.stop)) for B in blocks]

    def solve(self, c: Tensor, z0: Tensor | None = None) -> Solution:
        del z0  # one pass gets there from anywhere
        z = torch.zeros_like(c)
        for B, sigma in self.parts:
            z[:, B] = sigma.forward(z[:, : B.start] @ self.W[B, : B.start].T + c[:, B])
        residual = self.residual(z, c)
        return Solution(z, residual, len(self.parts), bool(self.accepts(z, residual).all()))

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        v = torch.zeros_like(g)
        for B, _ in reversed(self.parts):
            v[:, B] = J[:, B] * (g[:, B] + v[:, B.stop :] @ self.W[B.stop :, B])
        return v
