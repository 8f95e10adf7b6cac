"""Conditions (3), (4) and (10) of one equilibrium block, as matrices with a rigorous entrywise
error.

    (3)   2Γ − ΓW − WᵀΓ ≻ 0                                              well-posed
    (10)  2Λ − ΛW − WᵀΛ − GᵀG/L − ΛUUᵀΛ/L ⪰ 0                            L-Lipschitz, if well-posed
    (4)   the same with ≻ 0                                              both

Γ, Λ diagonal and ≻ 0. Sources: Revay, Wang & Manchester, arXiv:2010.01732 (3), (4); Havens et al.,
NeurIPS 2023, Theorem 3.1 (10). This file evaluates; `rules/` proves.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import Equilibrium
from certlip.errors import InputError
from certlip.linalg.rigorous.ball import Ball, mirrored


class Conditions:
    """The conditions of one block; the products that depend on neither multipliers nor L are kept."""

    def __init__(self, block: Equilibrium) -> None:
        W, U, G = block.W.numpy(), block.U.numpy(), block.G.numpy()
        self.n = block.n
        self.W = W
        self.GG = mirrored(Ball(G.T) @ Ball(G))
        self.UU = mirrored(Ball(U) @ Ball(U.T))

    def well_posed(self, gam: np.ndarray, mu: float = 0.0) -> Ball:
        """2Γ − ΓW − WᵀΓ − 2μΓ, the matrix of (3) with monotonicity margin μ ≥ 0 in the Γ metric."""
        if not 0.0 <= mu < np.inf:
            raise InputError(f"μ = {mu}: a monotonicity margin is nonnegative and finite")
        matrix = self._multiplied(_positive("gam", gam, self.n))
        if mu:
            matrix = matrix - _diagonal(Ball(2.0 * gam) * mu)
        return mirrored(matrix)

    def lipschitz(self, lam: np.ndarray, lip: float) -> Ball:
        """2Λ − ΛW − WᵀΛ − GᵀG/L − ΛUUᵀΛ/L, the matrix of (4) and (10)."""
        if not 0.0 < lip < np.inf:
            raise InputError(f"L = {lip}: a Lipschitz bound is positive and finite")
        lam = _positive("lam", lam, self.n)
        lam_UU_lam = (Ball(lam[:, None]) * self.UU) * Ball(lam[None, :])
        return mirrored(self._multiplied(lam) - (self.GG + lam_UU_lam) / lip)

    def _multiplied(self, lam: np.ndarray) -> Ball:
        """2Λ − ΛW − WᵀΛ."""
        lam_W = Ball(lam[:, None]) * Ball(self.W)
        return _diagonal(Ball(2.0 * lam)) - (lam_W + lam_W.T)


def _diagonal(values: Ball) -> Ball:
    return Ball(np.diag(values.mid), None if values.rad is None else np.diag(values.rad))


def _positive(name: str, values: np.ndarray, n: int) -> np.ndarray:
    """Multipliers must be positive: M ≻ 0 does not imply it (W = 2, λ = −1 "proves" an ill-posed block)."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (n,):
        raise InputError(f"{name} has shape {values.shape}: expected ({n},)")
    if not (np.isfinite(values).all() and (values > 0.0).all()):
        i = int(np.argmin(np.where(np.isfinite(values), values, -np.inf)))
        raise InputError(f"{name}[{i}] = {values[i]}: multipliers are positive and finite")
    return values
