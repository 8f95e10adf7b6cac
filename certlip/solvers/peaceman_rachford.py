"""Peaceman–Rachford splitting: converges for every step α > 0 when (3) holds.

With V = (I + αΓ(I − W))⁻¹:  u½ = 2z − u;  z½ = V(u½ + αΓc);  u ← 2z½ − u½;  z ← prox_{αλ_i f_i}(u), Γ =
diag(λ). Source: Winston & Kolter, Monotone operator equilibrium networks (2020), for Γ = I; Revay,
Wang & Manchester (2020) for the metric.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.errors import InconclusiveError
from certlip.solvers.iterative import State
from certlip.solvers.splitting import Splitting


class PeacemanRachford(Splitting):
    """The default solver for a W without structure."""

    name = "peaceman-rachford"
    most_iterations = 2000
    check_every = 5

    def default_step(self) -> float:
        """α = 1/‖Γ(I − W)‖ to within a factor: the resolvent then contracts in the stiff directions."""
        A = self.monotone_part()
        size = float(torch.linalg.matrix_norm(A).square().mean().sqrt())
        return min(1.0, A.shape[-1] ** 0.5 / size) if 0.0 < size < float("inf") else 1.0

    def prepare(self) -> None:
        """The resolvent V."""
        step = self.alpha if self.metric is None else self.alpha * self.metric
        try:
            self.V = self.W.resolvent(step)
        except RuntimeError:  # LinAlgError, which torch does not export to type checkers
            raise InconclusiveError(
                f"I + {self.alpha:.3g}(I − W) is singular: W does not satisfy (3)"
            ) from None

    def begin(self, z: Tensor | None, c: Tensor) -> State:
        z = torch.zeros_like(c) if z is None else z
        # at a solution u = z + αΓ(Wz + c − z), and αVΓc stays the same in all iterations
        u = z + self.step * (self.W.apply(z) + c - z)
        return {"z": z, "u": u, "drive": self.V.apply(self.step * c), "c": c}

    def transport(self, z: Tensor, u: Tensor, drive: Tensor) -> Tensor:
        """The next u, for z = prox(u)."""
        half = 2 * z - u
        return 2 * (drive + self.V.apply(half)) - half

    def advance(self, state: State) -> State:
        u = self.transport(state["z"], state["u"], state["drive"])
        return {**state, "u": u, "z": self.sigma.prox(u, self.step)}

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        # the same splitting for 0 = (I − Wᵀ)v + (1/J − 1)v − g, whose solution is v = Jw; with v = Γy the
        # operator (I − Wᵀ)Γ is monotone and its resolvent is Vᵀ
        weight = self.relaxed(J)
        y, u = torch.zeros_like(g), torch.zeros_like(g)
        for iteration in range(1, self.max_iter + 1):
            half = 2 * y - u
            u = 2 * self.V.adjoint(half) - half
            y = weight * (u + self.alpha * g)
            if iteration % self.check_every == 0 and self.adjoint_done(J, g, self.lam * y):
                break
        return self.lam * y
