"""The barrier of the smallest Γ that reads all outputs and keeps a margin μ in (3):

    minimise s  subject to  ΓQ + QᴴΓ ⪰ 0,  Γ ⪰ GᴴG,  Σ_i c_i γ_i ≤ s,   Q = (1 − μ)I − W.

Then ‖GΓ^{−1/2}‖ ≤ 1, so that the error ‖GΓ^{−1/2}‖‖We‖_Γ/μ of an equilibrium with residual e (math of
`certify`) is about ‖We‖_Γ/μ, and the weights of that norm are as small as they can be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from certlip.lmi.interior.barrier import Barrier, inside, inverse_of, log_det, trace_parts
from certlip.lmi.interior.follow import follow
from certlip.lmi.interior.start import monotone_start
from certlip.lmi.problem import Problem

GAP = 0.1  # relative: a Γ that is 10 % larger than need be


@dataclass(frozen=True)
class GrowthBarrier(Barrier):
    """φ(γ, s) = −Σ_f log det(ΓQ_f + Q_fᴴΓ) − Σ_f log det(Γ − G_fᴴG_f) − log(s − Σ c_i γ_i), a batch of one.

    Args:
        Q, GG: (F, n, n).
        c: (n,), positive.
    """

    Q: Tensor
    GG: Tensor
    c: Tensor

    @property
    def nu(self) -> float:
        F, n = self.Q.shape[:2]
        return float(2 * F * n + 1)

    def select(self, rows: Tensor) -> Self:
        del rows
        return self

    def value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gam, room = x[:, :-1], x[:, -1] - x[:, :-1] @ self.c
        allowed = (gam > 0.0).all(dim=1) & (room > 0.0)
        half = gam[:, None, :, None] * self.Q
        read = torch.diag_embed(gam).to(self.GG.dtype)[:, None] - self.GG
        C, info = torch.linalg.cholesky_ex(torch.stack([half + half.mH, read], dim=1))
        allowed &= inside(C, info).flatten(1).all(dim=1)
        phi = -log_det(C).sum(dim=(1, 2)) - torch.where(room > 0.0, room, 1.0).log()
        return torch.where(allowed, phi, torch.inf), C

    def derivatives(self, x: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        room = x[:, -1] - x[:, :-1] @ self.c
        P, R = inverse_of(kept).unbind(dim=1)
        X = self.Q @ P

        m = x.shape[1]
        per = self.c / room[:, None]
        H = x.new_empty(x.shape[0], m, m)
        H[:, :-1, :-1] = 2.0 * (X * X.mT + (X @ self.Q.mH) * P.mT).real.sum(dim=1)
        H[:, :-1, :-1] += (R * R.mT).real.sum(dim=1) + per[:, :, None] * per[:, None, :]
        H[:, :-1, -1] = H[:, -1, :-1] = -per / room[:, None]
        H[:, -1, -1] = room**-2
        g = torch.empty_like(x)
        g[:, :-1] = -2.0 * trace_parts(X) - trace_parts(R) + per
        g[:, -1] = -1.0 / room
        return g, H


def least_gamma(
    problem: Problem, mu: float, c: Tensor, deadline: float | None = None
) -> Tensor | None:
    """About the least Γ (n,) of the first output map, as far as floating point can tell; None if there
    seems to be no Γ with this margin μ, or none was found in time."""
    eye = torch.eye(problem.n, dtype=problem.W.dtype, device=problem.W.device)
    gam = monotone_start(replace(problem, W=problem.W + mu * eye), deadline)
    if gam is None:
        return None
    G = problem.G[0]
    size = float((torch.linalg.matrix_norm(G / gam.sqrt()) ** 2).max())
    gam = (2.0 * size if size > 0.0 else 1.0) * gam
    c = c / c.sum()
    x = torch.cat([gam, 2.0 * (gam @ c)[None]])[None]
    barrier = GrowthBarrier((1.0 - mu) * eye - problem.W, G.mH @ G, c)
    path = follow(barrier, x, lambda s, gap: gap < GAP * (s - gap), deadline=deadline)
    return path.x[0, :-1]
