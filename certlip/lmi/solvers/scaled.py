"""The LMI of one output map in units in which its numbers are of order one.

General solvers stop at absolute errors, so the answer should not depend on the units of x, y or z:

    minimise r  subject to  [[μK + Kᵀμ − GᵀG,  μU], [Uᵀμ,  rI]] ⪰ 0,  μ ≻ 0 diagonal

with K = T⁻¹(I − W)T/κ, T⁻¹U/u, GT/g in place of I − W, U, G: the unit z_i is measured in t_i, and κ, u, g
are sizes. Then Λ̃ = (g²/κ) T⁻²μ and ρ = (gu/κ)² r. Complex blocks are in their real form [[A, −B], [B, A]].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from certlip.lmi.problem import Problem

SWEEPS = 60  # more do not help: T need not be good, it must not be bad


@dataclass(frozen=True)
class Scaled:
    """K, U, G of all frequencies, real; Λ̃ = `lam`·μ and ρ = `rho`·r."""

    K: list[np.ndarray]
    U: list[np.ndarray]
    G: list[np.ndarray]
    lam: np.ndarray
    rho: float

    @classmethod
    @np.errstate(all="ignore")  # `finite` is asked
    def of(cls, problem: Problem, b: int, start: np.ndarray | None = None) -> Scaled:
        """The problem of output map b; multipliers to `start` from become μ = 1, up to a factor."""
        W, U, G = (array.cpu().numpy() for array in (problem.W, problem.U, problem.G[b]))
        t = balanced(W, U, G) if start is None else np.sqrt(start.max() / start)
        K = (np.eye(problem.n) - W) * t / t[:, None]
        U, G = U / t[:, None], G * t
        kappa = _or_one(np.abs(K.diagonal(axis1=1, axis2=2)).mean())
        u, g = _or_one(_norm(U)), _or_one(_norm(G))
        of_blocks = (_real(*blocks) for blocks in zip(K / kappa, U / u, G / g, strict=True))
        forms = map(list, zip(*of_blocks, strict=True))
        return cls(*forms, lam=g * g / kappa / (t * t), rho=(g * u / kappa) ** 2)

    @property
    def n(self) -> int:
        return len(self.lam)

    @property
    def order(self) -> int:
        """The number of rows of the largest matrix."""
        return max(K.shape[0] + U.shape[1] for K, U in zip(self.K, self.U, strict=True))

    def finite(self) -> bool:
        arrays = [*self.K, *self.U, *self.G, self.lam, np.array(self.rho)]
        return all(np.isfinite(array).all() for array in arrays) and self.rho > 0.0


def _real(*blocks: Any) -> list[np.ndarray]:
    """The real forms of complex blocks; blocks that have no imaginary parts are their own."""
    if all(np.abs(X.imag).max() <= 1e-14 * np.abs(X.real).max() for X in blocks):
        return [X.real for X in blocks]
    return [np.block([[X.real, -X.imag], [X.imag, X.real]]) for X in blocks]


def _norm(blocks: np.ndarray) -> float:
    """The largest spectral norm, NaN where there is none."""
    if not np.isfinite(blocks).all():
        return np.nan
    return float(np.linalg.norm(blocks, 2, axis=(1, 2)).max())


def balanced(W: np.ndarray, U: np.ndarray, G: np.ndarray) -> np.ndarray:
    """t (n,) for which what a unit reads is as large as what is read of it (Osborne's iteration), with
    U and G at size one: the layers of a chain then have norms of about one."""
    squares = [np.sum(np.abs(array) ** 2, axis=0) for array in (W, U, G)]
    between, reads, read = squares[0], squares[1].sum(axis=1), squares[2].sum(axis=0)
    np.fill_diagonal(between, 0.0)
    t = np.ones(len(between))  # the squares of t
    for _ in range(SWEEPS):
        inner = between * t / t[:, None]
        u, g = reads / t, read * t
        rows = inner.sum(axis=1) + u / _or_one(u.sum())
        columns = inner.sum(axis=0) + g / _or_one(g.sum())
        both = (rows > 0.0) & (columns > 0.0)
        t[both] *= (rows[both] / columns[both]) ** 0.25
        t = np.clip(t / np.exp(np.log(t).mean()), 1e-12, 1e12)
    return np.sqrt(t)


def _or_one(size: float) -> float:
    return 1.0 if size == 0.0 else float(size)
