"""The scaled LMI as programs of cvxpy.

At an optimum the matrix is singular, and M ⪰ 0 does not imply μ ≻ 0 (W = 2, μ = −1). Both programs
therefore keep M and μ `inside` by about the accuracy of the solver, so that what it finds can be proven.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from certlip.lmi.solvers.scaled import Scaled


@dataclass(frozen=True)
class Program:
    """A problem of cvxpy, its multipliers (n,) and its other variable, a number."""

    problem: Any
    mu: Any
    value: Any
    bound: Callable[[], float] | None = None  # the dual value, once solved


def smallest(of: Scaled, inside: float) -> Program:
    """minimise r  subject to  [[μK + Kᵀμ − GᵀG, μU], [Uᵀμ, rI]] ⪰ blkdiag(inside·I, 0)."""
    import cvxpy as cp

    mu, r = cp.Variable(of.n), cp.Variable()
    positive: list[Any] = [mu >= inside, r >= inside]
    constants = [G.T @ G + inside * np.eye(G.shape[1]) for G in of.G]
    definite: list[Any] = [
        _joined(_multiplied(mu, K) - C, _spread(mu, len(K)) @ U, r * np.eye(U.shape[1])) >> 0
        for K, U, C in zip(of.K, of.U, constants, strict=True)
    ]

    def bound() -> float:
        """The constants of the constraints, weighted by their dual variables Z ⪰ 0 and y ≥ 0."""
        below = inside * sum(float(np.sum(each.dual_value)) for each in positive)
        of_blocks = zip(definite, constants, strict=True)
        return below + sum(np.vdot(each.dual_value[: len(C), : len(C)], C) for each, C in of_blocks)

    return Program(cp.Problem(cp.Minimize(r), [*positive, *definite]), mu, r, bound)


def deepest(of: Scaled, ell: float, inside: float) -> Program:
    """maximise t  subject to  [[μK + Kᵀμ − GᵀG/ℓ, μU/√ℓ], [Uᵀμ/√ℓ, I]] ⪰ tI: (10) at one L, t ≤ 1.

    The matrix of `smallest` with r = ℓ², divided by ℓ; here Λ̃ = ℓ·`of.lam`·μ.
    """
    import cvxpy as cp

    mu, t = cp.Variable(of.n), cp.Variable()
    constraints: list[Any] = [mu >= inside]
    for K, U, G in zip(of.K, of.U, of.G, strict=True):
        M = _multiplied(mu, K) - G.T @ G / ell
        S = _joined(M, _spread(mu, len(K)) @ (U / np.sqrt(ell)), np.eye(U.shape[1]))
        constraints.append(S >> t * np.eye(sum(U.shape)))
    return Program(cp.Problem(cp.Maximize(t), constraints), mu, t)


def _spread(mu: Any, rows: int) -> Any:
    """diag(μ), or blkdiag of two for the real form of a complex block."""
    import cvxpy as cp

    return cp.diag(cp.hstack([mu] * (rows // mu.size)))


def _multiplied(mu: Any, K: np.ndarray) -> Any:
    mu_K = _spread(mu, len(K)) @ K
    return mu_K + mu_K.T


def _joined(M: Any, mu_U: Any, corner: Any) -> Any:
    import cvxpy as cp

    return cp.bmat([[M, mu_U], [mu_U.T, corner]])
