"""The barrier of the least Lipschitz bound: −log det of the Schur form, for all frequencies at once.

With Q = (I − W) − KΛ/ρ, K = UUᴴ and P = N⁻¹,

    N = ΛQ₀ + Q₀ᴴΛ − GᴴG − ΛKΛ/ρ,   Q₀ = I − W,   ∂N/∂λ_i = e_i q_i + (e_i q_i)ᴴ,

every constraint matrix has rank two, and with X = QP and B = KΛP the derivatives of −log det N are

    −2 Re diag X,   2 Re[X∘Xᵀ + (XQᴴ + K/ρ)∘Pᵀ],   (2/ρ²) Re diag[(XΛ − I)B],

a few products of order n, where a general cone solver forms n² dense rows. Λ stands for Λ̃ = LΛ and ρ = L².
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from certlip.lmi.interior.barrier import Barrier, inside, inverse_of, log_det, trace_parts
from certlip.lmi.problem import Problem

#: Multipliers may grow to this times the largest of the start, so that an unbounded set has a centre.
ROOM = 1e8


@dataclass(frozen=True)
class LipschitzBarrier(Barrier):
    """φ(λ, ρ) = −Σ_f (log det N_f + r log ρ) − Σ_i log λ_i − Σ_i log(l_i − λ_i).

    Args:
        Q0, K: (F, n, n).
        GG: GᴴG, (B, F, n, n).
        largest: l, (B, n).
        r: Columns of U.
    """

    Q0: Tensor
    K: Tensor
    GG: Tensor
    largest: Tensor
    r: int

    @classmethod
    def of(cls, problem: Problem, largest: Tensor) -> Self:
        eye = torch.eye(problem.n, dtype=problem.W.dtype, device=problem.W.device)
        K = problem.U @ problem.U.mH
        return cls(eye - problem.W, K, problem.G.mH @ problem.G, largest, problem.U.shape[-1])

    @property
    def nu(self) -> float:
        F, n = self.Q0.shape[:2]
        return float(F * (n + self.r) + 2 * n)

    def select(self, rows: Tensor) -> Self:
        return replace(self, GG=self.GG[rows], largest=self.largest[rows])

    def value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        lam, rho = x[:, :-1], x[:, -1]
        room = self.largest - lam
        allowed = (lam > 0.0).all(dim=1) & (room > 0.0).all(dim=1) & (rho > 0.0) & (rho < torch.inf)
        safe = torch.where(allowed[:, None], x, torch.ones_like(x))
        C, info = torch.linalg.cholesky_ex(self._matrix(safe))
        allowed &= inside(C, info).all(dim=1)
        F = self.Q0.shape[0]
        phi = (
            -log_det(C).sum(dim=1)
            - F * self.r * safe[:, -1].log()
            - safe[:, :-1].log().sum(dim=1)
            - torch.where(allowed[:, None], room, 1.0).log().sum(dim=1)
        )
        return torch.where(allowed, phi, torch.inf), C

    def derivatives(self, x: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        lam, rho = x[:, :-1], x[:, -1]
        P = inverse_of(kept)
        left = lam[:, None, :, None].to(P.dtype)  # Λ·, a factor per row
        per = rho[:, None, None, None]
        B = self.K @ (left * P)
        X = self.Q0 @ P - B / per
        Q = self.Q0 - self.K * left.mT / per
        F = self.Q0.shape[0]
        room = self.largest - lam

        m = x.shape[1]
        H = x.new_empty(x.shape[0], m, m)
        H[:, :-1, :-1] = 2.0 * (X * X.mT + (X @ Q.mH + self.K / per) * P.mT).real.sum(dim=1)
        H[:, :-1, :-1] += torch.diag_embed(lam**-2 + room**-2)
        # diag[(XΛ − I)B] without the product
        mixed = ((X * left.mT) * B.mT).real.sum(dim=(1, 3)) - trace_parts(B)
        H[:, :-1, -1] = H[:, -1, :-1] = 2.0 * mixed / rho[:, None] ** 2
        LB = left * B
        trace, square = trace_parts(LB).sum(dim=1), (LB * LB.mT).real.sum(dim=(1, 2, 3))
        H[:, -1, -1] = square / rho**4 + 2.0 * trace / rho**3 + F * self.r / rho**2
        g = torch.empty_like(x)
        g[:, :-1] = -2.0 * trace_parts(X) - 1.0 / lam + 1.0 / room
        g[:, -1] = -trace / rho**2 - F * self.r / rho
        return g, H

    def _matrix(self, x: Tensor) -> Tensor:
        """N, (B, F, n, n)."""
        lam, rho = x[:, None, :-1, None], x[:, None, -1:, None]
        half = lam * self.Q0
        return half + half.mH - self.GG - lam * self.K * (lam.mT / rho)
