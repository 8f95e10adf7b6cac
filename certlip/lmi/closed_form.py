"""The best L for given multipliers, and the best multiple of given multipliers: closed forms, not proofs.

For Λ with D = 2Λ − ΛW − WᴴΛ ≻ 0, (10) holds from L = λ_max of D^{−½}(GᴴG + ΛUUᴴΛ)D^{−½} on. For tΛ that is
λ_max(A/t + tB), A and B the two parts in this metric: convex in log t.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from certlip.lmi.interior.barrier import inside
from certlip.lmi.problem import Problem

STEPS = 40  # of a golden-section search over log t


@torch.no_grad()
def best_lipschitz(problem: Problem, lam: np.ndarray) -> float:
    """The least L for which Λ (n,) can prove (10) for the first output map; inf if Λ cannot."""
    parts = _parts(problem, lam)
    return np.inf if parts is None else _largest(parts[0] + parts[1])


@torch.no_grad()
def best_multiple(problem: Problem, lam: np.ndarray) -> tuple[float, float]:
    """The t for which tΛ proves the least L, and that L; (1, inf) if no multiple of Λ proves any."""
    parts = _parts(problem, lam)
    if parts is None:
        return 1.0, np.inf
    A, B = parts
    a, b = _largest(A), _largest(B)
    if a == 0.0 or b == 0.0:  # a constant map: any L > 0
        return 1.0, _largest(A + B)

    def at(s: float) -> float:
        t = float(np.exp(s))
        return _largest(A / t + t * B)

    # both ends prove at least the value that t = √(a/b) does
    middle, reach = 0.5 * (np.log(a) - np.log(b)), np.log(2.0)
    low, high = middle - reach, middle + reach
    share = (5.0**0.5 - 1.0) / 2.0
    left, right = high - share * (high - low), low + share * (high - low)
    f_left, f_right = at(left), at(right)
    for _ in range(STEPS):
        if f_left <= f_right:
            high, right, f_right = right, left, f_left
            left = high - share * (high - low)
            f_left = at(left)
        else:
            low, left, f_left = left, right, f_right
            right = low + share * (high - low)
            f_right = at(right)
        if high - low < 1e-7:
            break
    s = left if f_left <= f_right else right
    return float(np.exp(s)), min(f_left, f_right)


def _parts(problem: Problem, lam: np.ndarray) -> tuple[Tensor, Tensor] | None:
    """D^{−½}GᴴGD^{−½} and D^{−½}ΛUUᴴΛD^{−½} up to a unitary factor, (F, n, n); None unless D ≻ 0 and both
    are finite."""
    Lam = torch.as_tensor(lam, dtype=torch.float64, device=problem.W.device)[:, None]
    eye = torch.eye(problem.n, dtype=problem.W.dtype, device=problem.W.device)
    half = Lam * (eye - problem.W)
    C, info = torch.linalg.cholesky_ex(half + half.mH)
    if not bool(inside(C, info).all()):
        return None

    def gram(X: Tensor) -> Tensor:
        scaled = torch.linalg.solve_triangular(C, X, upper=False)
        return scaled @ scaled.mH

    parts = gram(problem.G[0].mH.contiguous()), gram(Lam * problem.U)
    return parts if all(bool(part.isfinite().all()) for part in parts) else None


def _largest(A: Tensor) -> float:
    return float(torch.linalg.eigvalsh(A)[..., -1].max())
