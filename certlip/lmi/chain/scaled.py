"""The chain as solvers see it: plain tensors in units of the closed form, inputs and outputs that matter.

With A_k = σ_k A'_k and τ_k = σ_0 … σ_{k−1} the states are z_k = τ_k z'_k, so ρ = τ_{K+1}²ρ' and Λ̃_k =
(τ_{K+1}/τ_k)²Λ̃'_k. The σ_k are such that Λ̃' = I proves ρ' = 1 by the rule `norm` of the closed form:
numbers of a moderate size at any depth, where norms of 1 would leave ρ' to shrink with every layer. (10)
knows A_0 by A_0A_0ᵀ and A_K by A_KᵀA_K alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from certlip.lmi.chain.problem import Chain
from certlip.lmi.problem import reduced

#: Rows below this share of the norm are lifted to it. A neuron without input has a multiplier without an
#: upper limit, which a barrier would chase; lifted, it changes L by the square of this share.
FLOOR = 1e-6


@dataclass(frozen=True)
class ScaledChain:
    """A'_0 (w_1, p'), A'_1 (w_2, w_1), …, A'_K (q', w_K), and log σ_k."""

    A: list[Tensor]
    log_norms: list[float]

    @classmethod
    def of(cls, chain: Chain, device: str | torch.device = "cpu") -> ScaledChain | None:
        """None where a matrix is zero: the map is constant."""
        A = [torch.tensor(part.mid, device=device) for part in chain.A]
        A[0] = reduced(A[0])
        A[-1] = reduced(A[-1].mT).mT
        norms = [float(torch.linalg.matrix_norm(part, 2)) for part in A]
        if not all(0.0 < norm < math.inf for norm in norms):
            return None
        parts = [part / norm for part, norm in zip(A, norms, strict=True)]
        parts = [*map(_lifted, parts[:-1]), parts[-1]]
        gains = _even(parts)
        logs = [math.log(norm) + math.log(gain) for norm, gain in zip(norms, gains, strict=True)]
        return cls([part / gain for part, gain in zip(parts, gains, strict=True)], logs)

    def to(self, dtype: torch.dtype) -> ScaledChain:
        return ScaledChain([part.to(dtype) for part in self.A], self.log_norms)

    @property
    def widths(self) -> list[int]:
        return [A.shape[0] for A in self.A[:-1]]

    @property
    def order(self) -> int:
        """Rows of the matrix S: p' + n."""
        return self.A[0].shape[1] + sum(self.widths)

    def scale(self) -> float:
        """∏ σ_k: what a bound of the scaled chain is multiplied by; may be infinite."""
        return _exp(sum(self.log_norms))

    def multipliers(self, lam: list[Tensor], rho: float) -> tuple[np.ndarray, float]:
        """Λ (n,) and L of (10) for the chain itself, from Λ̃' and ρ'."""
        total, log_tau, parts = sum(self.log_norms), 0.0, []
        lip = math.sqrt(rho)
        for part, log_norm in zip(lam, self.log_norms, strict=False):
            log_tau += log_norm
            parts.append(part.cpu().numpy() * (_exp(total - 2.0 * log_tau) / lip))
        return np.concatenate(parts), lip * self.scale()

    def scaled(self, lam: np.ndarray) -> list[Tensor]:
        """Λ̃' up to a common factor, from Λ (n,) of the chain."""
        log_tau, parts = 0.0, []
        for part, log_norm in zip(_split(lam, self.widths), self.log_norms, strict=False):
            log_tau += log_norm
            logs = np.log(part) + 2.0 * log_tau
            parts.append(logs)
        largest = max(float(part.max()) for part in parts)
        return [torch.tensor(np.exp(part - largest), device=self.A[0].device) for part in parts]


def _even(A: list[Tensor]) -> list[float]:
    """The factors of A_k by which ‖A_kX_k⁻¹A_kᵀ‖ = 1 for all k, X_0 = I, X_{k+1} = 2I − A_kX_k⁻¹A_kᵀ."""
    X, gains = torch.eye(A[0].shape[1]).to(A[0]), []
    for part in A:
        half = torch.linalg.solve_triangular(torch.linalg.cholesky(X), part.mT, upper=False)
        gains.append(float(torch.linalg.matrix_norm(half, 2)))
        half = half / gains[-1]
        X = 2.0 * torch.eye(len(part)).to(part) - half.mT @ half
    return gains


def _split(values: np.ndarray, widths: list[int]) -> list[np.ndarray]:
    return np.split(values, np.cumsum(widths)[:-1])


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.0 else math.inf


def _lifted(A: Tensor) -> Tensor:
    A = A.clone()
    for i in (torch.linalg.vector_norm(A, dim=1) < FLOOR).nonzero().flatten().tolist():
        A[i, i % A.shape[1]] = FLOOR
    return A
