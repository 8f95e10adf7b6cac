"""What the path follower needs of a log-det barrier: its value, its derivatives, its parameter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor


class Barrier(ABC):
    """φ over x = (λ_1, …, λ_n, ρ) of each of a batch of problems, whose last variable is minimised.

    φ is self-concordant with parameter `nu`, so that a point that minimises tρ + φ(x) is at most ν/t
    above the least ρ.
    """

    @property
    @abstractmethod
    def nu(self) -> float:
        """The parameter."""

    @abstractmethod
    def value(self, x: Tensor) -> tuple[Tensor, Any]:
        """φ(x) per problem, (B,), infinite outside of the domain; and what `derivatives` reuses."""

    @abstractmethod
    def derivatives(self, x: Tensor, kept: Any) -> tuple[Tensor, Tensor]:
        """Gradient (B, m) and Hessian (B, m, m) of φ at a point of the domain."""

    @abstractmethod
    def select(self, rows: Tensor) -> Self:
        """The barrier of some problems of the batch."""


def inside(lower_factor: Tensor, info: Tensor) -> Tensor:
    """Whether each Cholesky factor (…, n, n) came to an end with finite numbers, (…)."""
    return (info == 0) & lower_factor.diagonal(dim1=-2, dim2=-1).real.log().isfinite().all(dim=-1)


def log_det(lower_factor: Tensor) -> Tensor:
    """log det of CCᴴ, (…)."""
    return 2.0 * lower_factor.diagonal(dim1=-2, dim2=-1).real.log().sum(dim=-1)


def trace_parts(A: Tensor) -> Tensor:
    """Re Σ_f diag A_f (B, n) of matrices (B, F, n, n): what each unit has in the sum of their traces."""
    return A.diagonal(dim1=-2, dim2=-1).real.sum(dim=1)


def inverse_of(lower_factor: Tensor) -> Tensor:
    """(CCᴴ)⁻¹."""
    return torch.cholesky_inverse(lower_factor)


def symmetric_solve(H: Tensor, g: Tensor) -> Tensor:
    """H⁻¹g for each H ≻ 0 of a batch, scaled to a unit diagonal and lifted a little where it must be."""
    scale = H.diagonal(dim1=-2, dim2=-1).rsqrt()
    scaled = scale[..., :, None] * H * scale[..., None, :]
    eye = torch.eye(H.shape[-1], dtype=H.dtype, device=H.device)
    lift = 0.0
    while True:
        C, info = torch.linalg.cholesky_ex(scaled + lift * eye)
        if bool((info == 0).all()) or lift > 1e-2:
            break
        lift = max(10.0 * lift, 1e-14)
    return scale * torch.cholesky_solve((scale * g)[..., None], C)[..., 0]
