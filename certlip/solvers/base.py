"""What an equilibrium solver is: z = σ(Wz + c) for many c at once, and the adjoint linear system.

A solver returns what it reached and how far it got; it never hides that it did not converge.
Nothing it returns is trusted by a proof: `certify` bounds the residual of whatever comes out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.errors import InconclusiveError


@dataclass(frozen=True)
class Solution:
    """States z (batch, n), the residuals ‖z − σ(Wz + c)‖₂ (batch,), and how they were reached."""

    z: Tensor
    residual: Tensor
    iterations: int
    converged: bool

    def require_converged(self) -> None:
        """Raises an `InconclusiveError` unless every row has converged."""
        if not self.converged:
            raise InconclusiveError(
                f"the equilibrium did not converge in {self.iterations} iterations (residual "
                f"{float(self.residual.max()):.2g}); a smaller learning rate keeps it solvable"
            )


class EquilibriumSolver(ABC):
    """A solver for one W and σ; whatever depends on W alone is computed once, at construction."""

    name: str

    def __init__(self, W: Tensor, sigma: Sigma, *, tol: float | None = None, max_iter: int) -> None:
        """`tol` bounds ‖z − σ(Wz + c)‖ relative to 1 + ‖z‖; by default near the dtype's own."""
        self.W, self.sigma = W, sigma
        self.tol = tol if tol is not None else (1e-11 if W.dtype == torch.float64 else 2e-6)
        self.max_iter = max_iter

    @abstractmethod
    def solve(self, c: Tensor, z0: Tensor | None = None) -> Solution:
        """The equilibrium for each row of c (batch, n), started at z0 where it is given."""

    @abstractmethod
    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        """J w with (I − JW)ᵀ w = g per row: the derivative of the equilibrium (implicit function).

        J (batch, n) holds slopes of σ at the equilibrium, g (batch, n) the gradient in z; the
        result is the gradient in c.
        """

    def residual(self, z: Tensor, c: Tensor) -> Tensor:
        """‖z − σ(Wz + c)‖₂ per row."""
        return (z - self.sigma.forward(z @ self.W.T + c)).norm(dim=-1)

    def accepts(self, z: Tensor, residual: Tensor) -> Tensor:
        """Which rows have converged, (batch,) bool."""
        return residual <= self.tol * (1.0 + z.norm(dim=-1))
