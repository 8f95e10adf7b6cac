"""How an LBEN on images that end in zeros is run: its operators, and a splitting without an inverse.

F = Ψ⁻¹(I − W) is made of a few small kernels: forward–backward steps in the metric Ψ⁻¹ cost a product with
W each, where the resolvent of Peaceman–Rachford would be a huge dense matrix. They are accelerated; rows
that this does not solve go on with the small step that F ⪰ mI guarantees to converge.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from certlip.blocks import PaddedEquilibrium
from certlip.blocks.activations import Sigma
from certlip.linalg.operators import Dense, Operator, Stencil
from certlip.linalg.operators.padded_equilibrium import PaddedOperator
from certlip.solvers.anderson import Anderson
from certlip.solvers.base import Solution
from certlip.solvers.forward_backward import ForwardBackward
from certlip.solvers.iterative import IterativeSolver, State

STEP = 1.4  # times 1/‖F‖
MEMORY = 8
POWER_STEPS = 30


def operators_of(
    block: PaddedEquilibrium, moved: Callable[[Tensor], Tensor]
) -> tuple[PaddedOperator, Operator, Operator]:
    """W, U and G of the block, their arrays moved to where they are used."""
    psi, U, A, B, G = (moved(a) for a in (block.psi, block.U, block.A, block.B, block.G))
    W = PaddedOperator(psi, U, A, B, G, block.m, block.lip)
    return W, Stencil(U, block.torus, "zero"), Dense(G)


class PaddedSolver(Anderson):
    """Anderson acceleration of forward–backward steps, per sample."""

    name = "padded"

    def __init__(
        self, W: PaddedOperator, sigma: Sigma, tol: float | None = None, *, compact: bool = True
    ) -> None:
        IterativeSolver.__init__(self, W, sigma, tol=tol, max_iter=300, compact=compact)
        self.memory = MEMORY
        metric, norm = (1.0 / W.psi).flatten(), _norm(W)
        size = float(metric.max())  # the solvers divide their metric by its largest entry
        self.plain = _Steps(
            W, sigma, alpha=STEP * size / norm, metric=metric, tol=tol, max_iter=500
        )
        small = W.m * size / norm**2
        self.slow = ForwardBackward(W, sigma, alpha=small, metric=metric, tol=tol, compact=compact)

    def rescue(self, c: Tensor, z: Tensor) -> Solution | None:
        return self.slow.solve(c, z)

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        v = self.plain.adjoint(J, g)
        return v if self.plain.adjoint_done(J, g, v) else self.slow.adjoint(J, g)


class _Steps(ForwardBackward):
    """Forward–backward steps as an iteration of u, with z = prox(u)."""

    def begin(self, z: Tensor | None, c: Tensor) -> State:
        z = torch.zeros_like(c) if z is None else z
        drive = self.step * c
        return {"z": z, "u": self.transport(z, z, drive), "drive": drive, "c": c}

    def transport(self, z: Tensor, u: Tensor, drive: Tensor) -> Tensor:
        """The next u."""
        del u
        return z + self.step * (self.W.apply(z) - z) + drive


@torch.no_grad()
def _norm(W: PaddedOperator) -> float:
    """About ‖F‖₂, F = Ψ⁻¹(I − W), by the power method."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(1, W.out_width, generator=generator).to(W.device, W.dtype)
    psi = W.psi.flatten()
    norm = 1.0
    for _ in range(POWER_STEPS):
        Fv = (v - W.apply(v)) / psi
        y = Fv / psi
        FFv = y - W.adjoint(y)
        norm = float(Fv.norm() / v.norm())
        v = FFv / FFv.norm()
    return norm
