"""Peaceman–Rachford splitting: converges for every step α > 0 when (3) holds.

With V = (I + α(I − W))⁻¹:  u½ = 2z − u;  z½ = V(u½ + αc);  u ← 2z½ − u½;  z ← prox_{αf}(u).
Source: Winston & Kolter, Monotone operator equilibrium networks (2020); the metric is that of Γ.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.errors import InconclusiveError
from certlip.solvers.base import Solution
from certlip.solvers.splitting import Splitting

CHECK_EVERY = 5  # iterations between two residuals, each of which costs a matrix product


class PeacemanRachford(Splitting):
    """The default solver for a W without structure."""

    name = "peaceman-rachford"
    most_iterations = 2000

    @staticmethod
    def default_step(W: Tensor) -> float:
        """α = 1/‖I − W‖ to within a factor: the resolvent then contracts in the stiff directions."""
        n = W.shape[0]
        frobenius = torch.linalg.matrix_norm(torch.eye(n, dtype=W.dtype, device=W.device) - W)
        size = float(frobenius)
        return min(1.0, n**0.5 / size) if 0.0 < size < float("inf") else 1.0

    def prepare(self) -> None:
        """The resolvent V."""
        W = self.W
        eye = torch.eye(W.shape[0], dtype=W.dtype, device=W.device)
        self.V, info = torch.linalg.solve_ex(eye + self.alpha * (eye - W), eye)
        if int(info) != 0:
            raise InconclusiveError(
                f"I + {self.alpha:.3g}(I − W) is singular: W does not satisfy (3)"
            )

    def start(self, z: Tensor, c: Tensor) -> Tensor:
        """The u whose fixed point is z: at a solution u = z + α(Wz + c − z)."""
        return z + self.alpha * (z @ self.W.T + c - z)

    def drive(self, c: Tensor) -> Tensor:
        """αVc, which stays the same in all iterations."""
        return self.alpha * (c @ self.V.T)

    def step(self, u: Tensor, z: Tensor, drive: Tensor) -> Tensor:
        """The next u, for z = prox(u)."""
        half = 2 * z - u
        return 2 * torch.addmm(drive, half, self.V.T) - half

    def solve(self, c: Tensor, z0: Tensor | None = None) -> Solution:
        z = torch.zeros_like(c) if z0 is None else z0
        u, drive = self.start(z, c), self.drive(c)
        reached, residual = z, self.residual(z, c)
        done, iteration = self.accepts(z, residual), 0
        while not bool(done.all()) and iteration < self.max_iter:
            for _ in range(CHECK_EVERY):
                u = self.step(u, z, drive)
                z = self.sigma.prox(u, self.alpha)
            iteration += CHECK_EVERY
            # a row keeps the state at which it converged: the others in the batch do not change it
            reached = torch.where(done[:, None], reached, z)
            residual = torch.where(done, residual, self.residual(z, c))
            done = self.accepts(reached, residual)
        return Solution(reached, residual, iteration, bool(done.all()))

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        # the same splitting for 0 = (I − Wᵀ)v + (1/J − 1)v − g, whose solution is v = Jw
        alpha, V = self.alpha, self.V
        weight = J / (J + alpha * (1.0 - J))
        v, u = torch.zeros_like(g), torch.zeros_like(g)
        scale = 1.0 + g.norm(dim=-1)
        for iteration in range(1, self.max_iter + 1):
            half = 2 * v - u
            u = 2 * (half @ V) - half
            v = weight * (u + alpha * g)
            if iteration % CHECK_EVERY == 0:
                residual = (v - J * (g + v @ self.W)).norm(dim=-1)
                if bool((residual <= self.tol * scale).all()):
                    break
        return v
