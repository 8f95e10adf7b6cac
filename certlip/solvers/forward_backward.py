"""Forward–backward splitting: no inverse, but only a small step α < 2μ/ℓ² converges.

z ← prox_{αλ_i f_i}(z + αΓ(Wz + c − z)), μ the monotonicity and ℓ the Lipschitz constant of Γ(I − W).
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.solvers.iterative import State
from certlip.solvers.splitting import Splitting


class ForwardBackward(Splitting):
    """For W with a large monotonicity relative to its norm, or where an inverse costs too much."""

    name = "forward-backward"
    most_iterations = 20000

    def default_step(self) -> float:
        """α = μ/ℓ², the step of the fastest guaranteed contraction; 1/ℓ, without one, where μ ≤ 0."""
        F = self.monotone_part()
        mu = float(torch.linalg.eigvalsh((F + F.mH) / 2)[..., 0].min())
        ell = float(torch.linalg.matrix_norm(F, 2).max())
        if mu > 0:
            return mu / ell**2
        return 1.0 / ell if ell > 0 else 1.0

    def begin(self, z: Tensor | None, c: Tensor) -> State:
        z = torch.zeros_like(c) if z is None else z
        return {"z": z, "c": c}

    def advance(self, state: State) -> State:
        z, c = state["z"], state["c"]
        v = self.W.apply(z) + c
        return {**state, "z": self.sigma.prox(z + self.step * (v - z), self.step)}

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        weight = self.relaxed(J)
        y = torch.zeros_like(g)
        for _ in range(self.max_iter):
            v = self.lam * y
            pull = g + self.W.adjoint(v)
            if self.adjoint_done(J, g, v):
                break
            y = weight * (y + self.alpha * (pull - v))
        return self.lam * y
