"""Forward substitution: exact, one pass, for W strictly block lower-triangular in storage."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.linalg.operators import Operator
from certlip.linalg.triangular import strict_lower_blocks
from certlip.solvers.base import EquilibriumSolver, Solution
from certlip.solvers.sweep_choice import sweep_for


class Substitution(EquilibriumSolver):
    """z_B = σ(W_{B,<B} z_{<B} + c_B), block after block (equation (14) read from top to bottom).

    Raises:
        ValueError: W has a non-zero on or above its diagonal.
    """

    name = "substitution"

    def __init__(
        self,
        W: Tensor | Operator,
        sigma: Sigma,
        *,
        tol: float | None = None,
        atol: float | None = None,
    ) -> None:
        super().__init__(W, sigma, tol=tol, atol=atol, max_iter=1)
        blocks = strict_lower_blocks(self.W.pattern().cpu().numpy())
        if blocks is None:
            raise ValueError("forward substitution needs a strictly lower-triangular W")
        self.steps = len(blocks)
        self.sweep = sweep_for(self.W, sigma, blocks, strict=True, eliminate=False)

    def solve(self, c: Tensor, z0: Tensor | None = None) -> Solution:
        del z0  # one pass gets there from anywhere
        state = self.sweep.begin(torch.zeros_like(c), c)
        self.sweep.forward(state)
        z = self.sweep.point(state)

        def residual() -> Tensor:
            return self.sweep.residual(state)

        # exact in real arithmetic; what rounding leaves is measured where somebody asks
        finite = bool(z.sum(dtype=torch.float64).isfinite())
        return Solution(z, residual, self.steps, finite)

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        state = self.sweep.begin(torch.zeros_like(g), g)
        state["J"] = self.sweep.arranged(J)
        self.sweep.backward(state)
        return self.sweep.point(state)
