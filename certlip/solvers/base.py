"""What an equilibrium solver is: z = σ(Wz + c) for many c at once, and the adjoint linear system.

A solver returns what it reached and how far it got; it never hides that it did not converge.
Nothing it returns is trusted by a proof: `certify` bounds the residual of whatever comes out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.errors import InconclusiveError, InputError
from certlip.linalg.operators import Operator, as_operator


@dataclass(frozen=True)
class Solution:
    """States z (batch, n), the residuals ‖z − σ(Wz + c)‖₂ (batch,), and how they were reached.

    Either is given as it is, or by how to compute it where the solver did not need it.
    """

    states: Tensor | Callable[[], Tensor]
    residuals: Tensor | Callable[[], Tensor]
    iterations: int
    converged: bool

    @cached_property
    def z(self) -> Tensor:
        return self.states if isinstance(self.states, Tensor) else self.states()

    @cached_property
    def residual(self) -> Tensor:
        return self.residuals if isinstance(self.residuals, Tensor) else self.residuals()

    def require_converged(self) -> None:
        """Raises an `InconclusiveError` unless every row has converged."""
        if not self.converged:
            raise InconclusiveError(
                f"the equilibrium did not converge in {self.iterations} iterations (residual "
                f"{float(self.residual.max()):.2g}); a smaller learning rate keeps it solvable"
            )


class EquilibriumSolver(ABC):
    """A solver for one W and σ; whatever depends on W alone is computed once, at construction.

    Args:
        W: A square matrix or operator.
        sigma: The activation per coordinate.
        tol: Relative tolerance: a row has converged when ‖z − σ(Wz + c)‖ ≤ atol + tol·‖z‖; by default
            near the dtype's own.
        atol: Absolute tolerance; that number by default too.

    Raises:
        InputError: a tolerance that is negative or not finite, σ of another width.
    """

    name: str

    def __init__(
        self,
        W: Tensor | Operator,
        sigma: Sigma,
        *,
        tol: float | None = None,
        atol: float | None = None,
        max_iter: int,
    ) -> None:
        self.W, self.sigma = as_operator(W), sigma
        if sigma.width != self.W.out_width:
            raise InputError(f"σ has {sigma.width} coordinates, W has {self.W.out_width} rows")
        self.tol = tol if tol is not None else (1e-11 if self.W.dtype == torch.float64 else 2e-6)
        self.atol = self.tol if atol is None else atol
        for name, value in (("tol", self.tol), ("atol", self.atol)):
            if not 0.0 <= value < float("inf"):
                raise InputError(f"{name} = {value}: expected a nonnegative finite number")
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
        return (z - self.sigma.forward(self.W.apply(z) + c)).norm(dim=-1)

    def adjoint_residual(self, J: Tensor, g: Tensor, v: Tensor) -> Tensor:
        """‖v − J(g + Wᵀv)‖₂ per row, zero at the solution v = Jw of the adjoint system."""
        return (v - J * (g + self.W.adjoint(v))).norm(dim=-1)

    def accepts(self, size: Tensor, residual: Tensor) -> Tensor:
        """Which rows have converged, (batch,) bool, for states of norm `size`."""
        return residual <= self.atol + self.tol * size
