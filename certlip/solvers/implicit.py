"""The equilibrium as one differentiable operation: no graph through the iterations.

z = σ(Wz + c) gives dz = (I − JW)⁻¹ J (dW z + dc), J = diag σ'(Wz + c). With v = Wz̄ + c for the constant
z̄ = z, that is a map from dv to dz whose transpose is the solver's adjoint system; what v depends on,
W's parameters and c, gets its gradient from autograd.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from certlip.errors import InconclusiveError
from certlip.linalg.operators import Operator, as_operator
from certlip.solvers.base import EquilibriumSolver, Solution

ADJOINT_SLACK = 1e3  # how far beyond the solver's own tolerance a gradient is still used


class _ImplicitEquilibrium(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, v: Tensor, z: Tensor, solver: EquilibriumSolver, strict: bool, is_c: bool
    ) -> Tensor:
        ctx.solver, ctx.strict, ctx.is_c = solver, strict, is_c
        ctx.save_for_backward(v, z)
        return z.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        v, z = ctx.saved_tensors
        solver = ctx.solver
        J = solver.sigma.derivative(solver.W.apply(z) + v if ctx.is_c else v)
        w = solver.adjoint(J, grads[0])
        if ctx.strict:
            _check_adjoint(solver, J, grads[0], w)
        return w, None, None, None, None


def _check_adjoint(solver: EquilibriumSolver, J: Tensor, g: Tensor, v: Tensor) -> None:
    residual = solver.adjoint_residual(J, g, v)
    allowed = ADJOINT_SLACK * (solver.atol + solver.tol * g.norm(dim=-1))
    if not bool((residual <= allowed).all()):
        raise InconclusiveError(
            f"the adjoint system of an equilibrium did not converge: residual "
            f"{float(residual.max()):.2g}; its gradient would be wrong"
        )


def equilibrium(
    W: Tensor | Operator,
    c: Tensor,
    solver: EquilibriumSolver,
    z0: Tensor | None = None,
    *,
    strict: bool = True,
) -> tuple[Tensor, Solution]:
    """z(W, c), differentiable in W's parameters and c (batch, n), and how the solver got there.

    `solver` must have been made for the values of W. With `strict`, a gradient whose linear system
    was not solved raises; an attack, which needs no exact gradients, switches that off.

    Raises:
        InconclusiveError: in the backward pass, when the adjoint system did not converge.
    """
    W = as_operator(W)
    with torch.no_grad():
        solution = solver.solve(c.detach(), z0)
    z = solution.z
    if torch.is_grad_enabled():
        if W.requires_grad:
            z = _ImplicitEquilibrium.apply(W.apply(z) + c, z, solver, strict, False)
        elif c.requires_grad:
            z = _ImplicitEquilibrium.apply(c, z, solver, strict, True)
    return z, solution
