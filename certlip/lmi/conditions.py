"""Conditions (3), (4) and (10) of one equilibrium block, as matrices with a rigorous entrywise
error.

    (3)   2Γ − ΓW − WᵀΓ ≻ 0                                              well-posed
    (10)  2Λ − ΛW − WᵀΛ − GᵀG/L − ΛUUᵀΛ/L ⪰ 0                            L-Lipschitz, if well-posed
    (4)   the same with ≻ 0                                              both

Γ, Λ diagonal and ≻ 0. Sources: Revay, Wang & Manchester, arXiv:2010.01732 (3), (4); Havens et al.,
NeurIPS 2023, Theorem 3.1 (10). This file evaluates; `rules/` proves.

With convolutions on a torus and multipliers per channel, each condition holds if and only if it holds
for the blocks Ŵ(f), Û(f), Ĝ(f) of every frequency f (section 4 of Havens et al.): the same formulas, on
a batch of matrices, the real forms of these blocks.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np

from certlip.blocks import Equilibrium
from certlip.errors import InputError
from certlip.linalg.rigorous.ball import Ball, diagonal, mirrored
from certlip.lmi.forms import Forms


class Conditions:
    """The conditions of a dense block, or of some frequencies of another one; the products that depend on
    neither multipliers nor L are kept."""

    def __init__(self, of: Equilibrium | Forms) -> None:
        of = of if isinstance(of, Forms) else Forms.dense(of)
        self.of, self.n = of, of.n
        self.GG = mirrored(of.G.T @ of.G)
        self.UU = mirrored(of.U @ of.U.T)

    def with_outputs(self, G: Ball) -> Conditions:
        """The same states with another output map; what does not depend on it is shared."""
        other = copy(self)
        other.of, other.GG = replace(self.of, G=G), mirrored(G.T @ G)
        return other

    @property
    def order(self) -> int:
        """The number of rows of the matrices."""
        return self.of.W.shape[-1]

    def well_posed(self, gam: np.ndarray, mu: float = 0.0) -> Ball:
        """2Γ − ΓW − WᵀΓ − 2μΓ, the matrix of (3) with monotonicity margin μ ≥ 0 in the Γ metric."""
        if not 0.0 <= mu < np.inf:
            raise InputError(f"μ = {mu}: a monotonicity margin is nonnegative and finite")
        gam = self.of.spread(positive("gam", gam, self.n))
        matrix = self._multiplied(gam)
        if mu:
            matrix = matrix - diagonal(Ball(2.0 * gam) * mu)
        return mirrored(matrix)

    def lipschitz(self, lam: np.ndarray, lip: float) -> Ball:
        """2Λ − ΛW − WᵀΛ − GᵀG/L − ΛUUᵀΛ/L, the matrix of (4) and (10)."""
        if not 0.0 < lip < np.inf:
            raise InputError(f"L = {lip}: a Lipschitz bound is positive and finite")
        lam = self.of.spread(positive("lam", lam, self.n))
        lam_UU_lam = (Ball(lam[:, None]) * self.UU) * Ball(lam[None, :])
        return mirrored(self._multiplied(lam) - (self.GG + lam_UU_lam) / lip)

    def _multiplied(self, lam: np.ndarray) -> Ball:
        """2Λ − ΛW − WᵀΛ."""
        lam_W = Ball(lam[:, None]) * self.of.W
        return diagonal(Ball(2.0 * lam)) - (lam_W + lam_W.T)


def positive(name: str, values: np.ndarray, n: int) -> np.ndarray:
    """Multipliers must be positive: M ≻ 0 does not imply it (W = 2, λ = −1 "proves" an ill-posed block)."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (n,):
        raise InputError(f"{name} has shape {values.shape}: expected ({n},)")
    if not (np.isfinite(values).all() and (values > 0.0).all()):
        i = int(np.argmin(np.where(np.isfinite(values), values, -np.inf)))
        raise InputError(f"{name}[{i}] = {values[i]}: multipliers are positive and finite")
    return values
