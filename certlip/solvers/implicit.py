"""The equilibrium as one differentiable operation: no graph through the iterations.

z = σ(Wz + c) gives dz = (I − JW)⁻¹ J (dW z + dc), J = diag σ'(Wz + c); the gradient in c is the
solution of the adjoint system, that in W its outer product with z.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from certlip.solvers.base import EquilibriumSolver, Solution


class _ImplicitEquilibrium(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, W: Tensor, c: Tensor, z: Tensor, solver: EquilibriumSolver) -> Tensor:
        ctx.solver = solver
        ctx.save_for_backward(c, z)
        # W is only here for its gradient; the solver holds the numbers
        ctx.needs_W = W.requires_grad
        return z.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        c, z = ctx.saved_tensors
        solver = ctx.solver
        J = solver.sigma.derivative(z @ solver.W.T + c)
        v = solver.adjoint(J, grads[0])
        return (v.T @ z if ctx.needs_W else None), v, None, None


def equilibrium(
    W: Tensor, c: Tensor, solver: EquilibriumSolver, z0: Tensor | None = None
) -> tuple[Tensor, Solution]:
    """z(W, c), differentiable in W (n, n) and c (batch, n), and how the solver got there.

    `solver` must have been made for the values of W.
    """
    with torch.no_grad():
        solution = solver.solve(c.detach(), z0)
    z = solution.z
    if torch.is_grad_enabled() and (W.requires_grad or c.requires_grad):
        z = _ImplicitEquilibrium.apply(W, c, z, solver)
    return z, solution
