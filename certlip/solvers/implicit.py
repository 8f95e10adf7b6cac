"""The equilibrium as one differentiable operation: no graph through the iterations.

z = σ(Wz + c) gives dz = (I − JW)⁻¹ J (dW z + dc), J = diag σ'(Wz + c); the gradient in c is the
solution of the adjoint system, that in W its outer product with z.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from certlip.errors import InconclusiveError
from certlip.solvers.base import EquilibriumSolver, Solution

ADJOINT_SLACK = 1e3  # how far beyond the solver's own tolerance a gradient is still used


class _ImplicitEquilibrium(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, W: Tensor, c: Tensor, z: Tensor, solver: EquilibriumSolver, strict: bool
    ) -> Tensor:
        ctx.solver, ctx.strict = solver, strict
        ctx.save_for_backward(c, z)
        # W is only here for its gradient; the solver holds the numbers
        ctx.needs_W = W.requires_grad
        return z.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
        c, z = ctx.saved_tensors
        solver = ctx.solver
        J = solver.sigma.derivative(z @ solver.W.T + c)
        v = solver.adjoint(J, grads[0])
        if ctx.strict:
            _check_adjoint(solver, J, grads[0], v)
        return (v.T @ z if ctx.needs_W else None), v, None, None, None


def _check_adjoint(solver: EquilibriumSolver, J: Tensor, g: Tensor, v: Tensor) -> None:
    residual = (v - J * (g + v @ solver.W)).norm(dim=-1)
    allowed = ADJOINT_SLACK * solver.tol * (1.0 + g.norm(dim=-1))
    if not bool((residual <= allowed).all()):
        raise InconclusiveError(
            f"the adjoint system of an equilibrium did not converge: residual "
            f"{float(residual.max()):.2g}; its gradient would be wrong"
        )


def equilibrium(
    W: Tensor,
    c: Tensor,
    solver: EquilibriumSolver,
    z0: Tensor | None = None,
    *,
    strict: bool = True,
) -> tuple[Tensor, Solution]:
    """z(W, c), differentiable in W (n, n) and c (batch, n), and how the solver got there.

    `solver` must have been made for the values of W. With `strict`, a gradient whose linear system
    was not solved raises; an attack, which needs no exact gradients, switches that off.

    Raises:
        InconclusiveError: in the backward pass, when the adjoint system did not converge.
    """
    with torch.no_grad():
        solution = solver.solve(c.detach(), z0)
    z = solution.z
    if torch.is_grad_enabled() and (W.requires_grad or c.requires_grad):
        z = _ImplicitEquilibrium.apply(W, c, z, solver, strict)
    return z, solution
