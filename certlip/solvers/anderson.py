"""Anderson acceleration of Peaceman–Rachford, per sample.

The splitting is a fixed-point iteration u ← T(u) that is nonexpansive in the metric of (3). Each row keeps
its last differences ΔF, ΔU of F = T(u) − u and of T(u), and steps to T(u) − ΔUγ with γ = argmin‖F − ΔFγ‖.
A row whose residual grows beyond what it was forgets its history and takes the plain step, so that a bad
extrapolation costs one iteration. What comes out is judged by its residual, like that of any solver.
Source: Walker & Ni, SIAM J. Numer. Anal. 49 (2011).
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.errors import InputError
from certlip.solvers.base import EquilibriumSolver, Solution
from certlip.solvers.peaceman_rachford import PeacemanRachford

RIDGE = 1e-12  # relative regularization of the small least-squares problems
GROWTH = 2.0  # a residual that grew by more than this starts the history anew


class Anderson(EquilibriumSolver):
    """Peaceman–Rachford with `memory` differences of history per sample.

    Raises:
        InputError: memory below 1.
    """

    name = "anderson"

    def __init__(
        self,
        W: Tensor,
        sigma: Sigma,
        *,
        alpha: float | None = None,
        memory: int = 5,
        tol: float | None = None,
        max_iter: int = 1000,
    ) -> None:
        super().__init__(W, sigma, tol=tol, max_iter=max_iter)
        if memory < 1:
            raise InputError(f"Anderson memory = {memory}: expected at least 1")
        self.memory = memory
        self.plain = PeacemanRachford(W, sigma, alpha=alpha, tol=tol)

    def solve(self, c: Tensor, z0: Tensor | None = None) -> Solution:
        pr = self.plain
        z = torch.zeros_like(c) if z0 is None else z0
        u = pr.start(z, c)
        drive = pr.drive(c)
        reached, residual = z, self.residual(z, c)
        done, iteration = self.accepts(z, residual), 0
        changes_u: list[Tensor] = []
        changes_f: list[Tensor] = []
        last: tuple[Tensor, Tensor] | None = None
        while not bool(done.all()) and iteration < self.max_iter:
            new = pr.step(u, z, drive)
            f = new - u
            if last is not None:
                changes_u.append(new - last[0])
                changes_f.append(f - last[1])
                del changes_u[: -self.memory], changes_f[: -self.memory]
            last = (new, f)
            u = new if not changes_f else new - _correction(changes_u, changes_f, f)
            z = self.sigma.prox(u, pr.alpha)
            iteration += 1
            now = self.residual(z, c)
            bad = ~(now <= GROWTH * residual) & ~done
            if bool(bad.any()):  # the plain step for these rows, and no history
                u = torch.where(bad[:, None], new, u)
                z = self.sigma.prox(u, pr.alpha)
                now = self.residual(z, c)
                for change in (*changes_u, *changes_f):
                    change[bad] = 0.0
            reached = torch.where(done[:, None], reached, z)
            residual = torch.where(done, residual, now)
            done = self.accepts(reached, residual)
        return Solution(reached, residual, iteration, bool(done.all()))

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        return self.plain.adjoint(J, g)


def _correction(changes_u: list[Tensor], changes_f: list[Tensor], f: Tensor) -> Tensor:
    """ΔUγ per row, γ the least-squares solution of ΔFγ = f by regularized normal equations."""
    dF, dU = torch.stack(changes_f, dim=-1), torch.stack(changes_u, dim=-1)
    gram = dF.mT @ dF
    size = gram.diagonal(dim1=-2, dim2=-1).amax(dim=-1).clamp_min(torch.finfo(f.dtype).tiny)
    m = gram.shape[-1]
    ridge = (RIDGE if f.dtype == torch.float64 else 1e-6) * size[:, None, None]
    eye = torch.eye(m, dtype=f.dtype, device=f.device)
    gamma = torch.linalg.solve_ex(gram + ridge * eye, dF.mT @ f[..., None])[0]
    gamma = torch.where(torch.isfinite(gamma), gamma, 0.0)
    return (dU @ gamma)[..., 0]
