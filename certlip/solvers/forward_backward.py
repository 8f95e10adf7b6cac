"""Forward–backward splitting: no inverse, but only a small step α < 2μ/ℓ² converges.

z ← prox_{αf}((1 − α)z + α(Wz + c)), μ the monotonicity and ℓ the Lipschitz constant of I − W.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.solvers.base import Solution
from certlip.solvers.splitting import Splitting


class ForwardBackward(Splitting):
    """For W with a large monotonicity relative to its norm, or where an inverse costs too much."""

    name = "forward-backward"
    most_iterations = 20000

    @staticmethod
    def default_step(W: Tensor) -> float:
        """α = μ/ℓ², the step of the fastest guaranteed contraction; 1/ℓ, without one, where μ ≤ 0."""
        F = torch.eye(W.shape[0], dtype=W.dtype, device=W.device) - W
        mu = float(torch.linalg.eigvalsh((F + F.T) / 2)[0])
        ell = float(torch.linalg.matrix_norm(F, 2))
        if mu > 0:
            return mu / ell**2
        return 1.0 / ell if ell > 0 else 1.0

    def solve(self, c: Tensor, z0: Tensor | None = None) -> Solution:
        z = torch.zeros_like(c) if z0 is None else z0
        reached, residual = z, self.residual(z, c)
        done, iteration = self.accepts(z, residual), 0
        while not bool(done.all()) and iteration < self.max_iter:
            v = z @ self.W.T + c
            z = self.sigma.prox(z + self.alpha * (v - z), self.alpha)
            iteration += 1
            reached = torch.where(done[:, None], reached, z)
            residual = torch.where(done, residual, self.residual(z, c))
            done = self.accepts(reached, residual)
        return Solution(reached, residual, iteration, bool(done.all()))

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        weight = J / (J + self.alpha * (1.0 - J))
        v = torch.zeros_like(g)
        scale = 1.0 + g.norm(dim=-1)
        for _ in range(self.max_iter):
            pull = g + v @ self.W
            if bool(((v - J * pull).norm(dim=-1) <= self.tol * scale).all()):
                break
            v = weight * (v + self.alpha * (pull - v))
        return v
