"""Where the path begins: a Γ that satisfies (3), and from it a Λ̃ and ρ inside of the Schur form.

With D = ΓQ₀ + Q₀ᴴΓ ≻ 0, a = ‖GD⁻¹Gᴴ‖ and b = ‖UᴴΓD⁻¹ΓU‖ the multiples Λ̃ = sΓ with s > a are feasible for
ρ ≥ s²b/(s − a), since sD − GᴴG ⪰ (s − a)D; s = 2a makes that least.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.lmi.interior.barrier import inside
from certlip.lmi.interior.follow import follow
from certlip.lmi.interior.monotone import MonotoneBarrier
from certlip.lmi.problem import Problem

WIDER = 2.0  # times the bound of ρ, so that the start is well inside


def monotone_start(problem: Problem, deadline: float | None = None) -> Tensor | None:
    """A Γ (n,) that satisfies (3) and is well inside, as far as floating point can tell; None if there is
    none, or none was found in time."""
    n, real = problem.n, problem.W.real.dtype
    eye = torch.eye(n, dtype=problem.W.dtype, device=problem.W.device)
    barrier = MonotoneBarrier(eye - problem.W)
    gam = torch.full((1, n), 0.5, dtype=real, device=problem.W.device)
    D = barrier.matrix(gam, gam.new_zeros(1))
    lowest = float(torch.linalg.eigvalsh(D).min())
    if lowest > 1e-6 * float(D.abs().max()):
        return gam[0]
    size = float(D.abs().max()) or 1.0
    x = torch.cat([gam, gam.new_tensor([[-lowest + 0.1 * size]])], dim=1)

    def enough(s: Tensor, gap: Tensor) -> Tensor:
        return ((s < 0.0) & (gap < -0.5 * s)) | (s - gap > 0.0) | (gap < 1e-11 * size)

    path = follow(barrier, x, enough, deadline=deadline)
    return path.x[0, :-1] if float(path.x[0, -1]) < 0.0 else None


def lipschitz_start(problem: Problem, gam: Tensor) -> Tensor | None:
    """The points (λ̃, ρ), (B, n + 1), for multiples of Γ (n,); None if Γ ≻ 0 does not satisfy (3)."""
    reached = reaches(problem, gam)
    if reached is None:
        return None
    a, b = reached
    s = 2.0 * a
    rho = WIDER * 4.0 * a * b
    return torch.cat([s[:, None] * gam, rho[:, None]], dim=1)


def reaches(problem: Problem, gam: Tensor) -> tuple[Tensor, Tensor] | None:
    """Upper bounds of a and b for Γ (n,), as far as floating point can tell, (B,) and (1,); None unless
    Γ is positive and satisfies (3)."""
    if not bool((gam > 0.0).all()):
        return None
    eye = torch.eye(problem.n, dtype=problem.W.dtype, device=problem.W.device)
    half = gam[:, None] * (eye - problem.W)
    C, info = torch.linalg.cholesky_ex(half + half.mH)
    if not bool(inside(C, info).all()):
        return None

    def reach(A: Tensor) -> Tensor:
        """‖C⁻¹A‖² or a little more, the largest over the frequencies."""
        norm = torch.linalg.solve_triangular(C, A, upper=False)
        # the Frobenius norm is a bound, and the better of two good ones where A is thin
        return (norm.abs() ** 2).sum(dim=(-2, -1)).amax(dim=-1)

    return reach(problem.G.mH.contiguous()), reach(gam[:, None] * problem.U)[None]
