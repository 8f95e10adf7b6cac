"""A network whose dense equilibria are run for a fixed number of forward–backward steps from 0.

z ← σ((1 − α)z + α(Wz + Ux + b_z)), every row with the same number of steps: what the program does does
not depend on a tolerance. For α < 1 its fixed point is that of the equilibrium for ReLU and the
identity only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks import Equilibrium, Network
from certlip.solvers.prepared import Implicit, prepared


class Stepped:
    """The network in one dtype, float32 as it is deployed by default."""

    def __init__(
        self,
        network: Network,
        count: int,
        alpha: float = 1.0,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        self.parts = [
            _Run(block, count, alpha, dtype, device)
            if isinstance(block, Equilibrium)
            else prepared(block, dtype, device, tol=None, strict=True, compact=True)
            for block in network.blocks
        ]

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (batch, classes) of raw inputs x (batch, d)."""
        for part in self.parts:
            if isinstance(part, Implicit):
                raise ValueError("an equilibrium that is not of matrices")
            x = part(x)
        return x


class _Run:
    def __init__(
        self,
        block: Equilibrium,
        count: int,
        alpha: float,
        dtype: torch.dtype,
        device: str | torch.device,
    ) -> None:
        self.W, self.U, self.G, self.b_z, self.b_y = (
            A.to(device=device, dtype=dtype)
            for A in (block.W, block.U, block.G, block.b_z, block.b_y)
        )
        self.sigma, self.count, self.alpha = block.sigma, count, alpha

    def __call__(self, x: Tensor) -> Tensor:
        driving = x.to(self.U) @ self.U.T + self.b_z
        z = torch.zeros_like(driving)
        for _ in range(self.count):
            v = z @ self.W.T + driving
            z = self.sigma.forward(
                v if self.alpha == 1.0 else (1.0 - self.alpha) * z + self.alpha * v
            )
        return z @ self.G.T + self.b_y
