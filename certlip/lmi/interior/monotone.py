"""The barrier of phase one: the Γ for which 2Γ − ΓW − WᴴΓ, the matrix of (3), is most positive.

    minimise s  subject to  ΓQ₀ + Q₀ᴴΓ + sC ⪰ 0,  0 < γ_i < l_i,   Q₀ = I − W,

C a positive diagonal that fixes the scale; Γ satisfies (3) where s < 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from certlip.lmi.interior.barrier import Barrier, inside, inverse_of, log_det, trace_parts


@dataclass(frozen=True)
class MonotoneBarrier(Barrier):
    """φ(γ, s) = −Σ_f log det(ΓQ₀ + Q₀ᴴΓ + sI) − Σ_i log γ_i − Σ_i log(1 − γ_i), a batch of one.

    Args:
        Q0: (F, n, n).
    """

    Q0: Tensor

    @property
    def nu(self) -> float:
        F, n = self.Q0.shape[:2]
        return float((F + 2) * n)

    def select(self, rows: Tensor) -> Self:
        del rows
        return self

    def value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gam = x[:, :-1]
        allowed = ((gam > 0.0) & (gam < 1.0)).all(dim=1)
        safe = torch.where(allowed[:, None], gam, 0.5)
        C, info = torch.linalg.cholesky_ex(self.matrix(safe, x[:, -1]))
        allowed &= inside(C, info).all(dim=1)
        phi = -log_det(C).sum(dim=1) - (safe * (1.0 - safe)).log().sum(dim=1)
        return torch.where(allowed, phi, torch.inf), C

    def derivatives(self, x: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        gam, m = x[:, :-1], x.shape[1]
        P = inverse_of(kept)
        X = self.Q0 @ P

        H = x.new_empty(x.shape[0], m, m)
        H[:, :-1, :-1] = 2.0 * (X * X.mT + (X @ self.Q0.mH) * P.mT).real.sum(dim=1)
        H[:, :-1, :-1] += torch.diag_embed(gam**-2 + (1.0 - gam) ** -2)
        H[:, :-1, -1] = H[:, -1, :-1] = 2.0 * (X * P.mT).real.sum(dim=(1, 3))
        H[:, -1, -1] = (P * P.mT).real.sum(dim=(1, 2, 3))
        g = torch.empty_like(x)
        g[:, :-1] = -2.0 * trace_parts(X) - 1.0 / gam + 1.0 / (1.0 - gam)
        g[:, -1] = -trace_parts(P).sum(dim=1)
        return g, H

    def matrix(self, gam: Tensor, s: Tensor) -> Tensor:
        """ΓQ₀ + Q₀ᴴΓ + sI, (B, F, n, n)."""
        half = gam[:, None, :, None] * self.Q0
        eye = torch.eye(self.Q0.shape[-1], dtype=self.Q0.dtype, device=self.Q0.device)
        return half + half.mH + s[:, None, None, None] * eye
