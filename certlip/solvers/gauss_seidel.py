"""Block Gauss–Seidel sweeps for a W that is almost strictly block lower-triangular.

A fine-tuned LBEN is a small perturbation of an explicit network: W = W_△ + E, W_△ its strictly block
lower part. One sweep z_B ← σ(W_B z + c_B), block after block with the newest values, is forward
substitution through W_△ with E z from the sweep before; it contracts at a rate ≤ κ‖E‖, κ the Lipschitz
constant of w ↦ z = σ(W_△z + w): a handful of sweeps where Peaceman–Rachford needs 60 to 200, and no
inverse. κ can grow with depth, so the residuals are watched and rows that do not contract are handed to
Peaceman–Rachford.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.errors import InputError
from certlip.linalg.triangular import nearly_lower_blocks
from certlip.solvers.base import EquilibriumSolver, Solution
from certlip.solvers.peaceman_rachford import PeacemanRachford

SLOW = 0.7  # a sweep that leaves more than this share of the residual is not worth repeating
MOST_BLOCKS = 64  # more blocks than this cost more in calls than they save in sweeps


class GaussSeidel(EquilibriumSolver):
    """Sweeps while they contract, Peaceman–Rachford from there on.

    Raises:
        InputError: W is not almost block lower-triangular with few blocks.
    """

    name = "gauss-seidel"

    def __init__(
        self, W: Tensor, sigma: Sigma, *, tol: float | None = None, max_iter: int = 100
    ) -> None:
        super().__init__(W, sigma, tol=tol, max_iter=max_iter)
        blocks = blocks_of(W)
        if blocks is None:
            raise InputError(
                f"W of order {W.shape[0]} is not almost block lower-triangular: "
                "expected at most "
                f"{MOST_BLOCKS} blocks with small diagonal and upper parts"
            )
        self.parts = [(B, sigma.part(B.start, B.stop), W[B]) for B in blocks]
        self.columns = [(B, W[:, B]) for B in blocks]

    @cached_property
    def fallback(self) -> PeacemanRachford:
        """Made only where a sweep did not contract."""
        return PeacemanRachford(self.W, self.sigma, tol=self.tol)

    def solve(self, c: Tensor, z0: Tensor | None = None) -> Solution:
        z = torch.zeros_like(c) if z0 is None else z0.clone()
        reached, residual = z.clone(), self.residual(z, c)
        done = self.accepts(reached, residual)
        stuck, iteration = torch.zeros_like(done), 0
        while iteration < self.max_iter and not bool((done | stuck).all()):
            for B, sigma, W_B in self.parts:
                z[:, B] = sigma.forward(z @ W_B.T + c[:, B])
            iteration += 1
            new = self.residual(z, c)
            # a row keeps the state at which it converged or stopped contracting, whatever the
            # others in the batch do; the first sweep is compared with nothing
            running = ~(done | stuck)
            stuck |= running & (iteration > 1) & ~(new <= SLOW * residual)
            better = running & (new < residual)
            reached = torch.where(better[:, None], z, reached)
            residual = torch.where(better, new, residual)
            done = self.accepts(reached, residual)
        if bool(done.all()):
            return Solution(reached, residual, iteration, True)
        rest = self.fallback.solve(c, reached)
        return Solution(rest.z, rest.residual, iteration + rest.iterations, rest.converged)

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        v = torch.zeros_like(g)
        scale = self.tol * (1.0 + g.norm(dim=-1))
        previous = torch.full_like(scale, torch.inf)
        for _ in range(self.max_iter):
            for B, columns in reversed(self.columns):
                v[:, B] = J[:, B] * (g[:, B] + v @ columns)
            residual = (v - J * (g + v @ self.W)).norm(dim=-1)
            if bool((residual <= scale).all()):
                return v
            if not bool((residual <= SLOW * previous).all()):
                break
            previous = torch.maximum(residual, scale)
        return self.fallback.adjoint(J, g)


def blocks_of(W: Tensor) -> list[slice] | None:
    """The blocks to sweep over, or None where W has no such structure."""
    blocks = nearly_lower_blocks(W.detach().cpu().numpy())
    if blocks is None:
        return None
    return blocks if 1 < len(blocks) <= min(MOST_BLOCKS, W.shape[0] // 2) else None
