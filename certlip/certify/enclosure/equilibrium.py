"""An equilibrium block: the residual of any guess ẑ bounds its distance to the equilibrium.

With e = ẑ − σ(Wẑ + Ux + b_z) and 2Γ − ΓW − WᵀΓ ⪰ 2μΓ, z̃ = ẑ − e solves the equilibrium for an
input that is off by We, so ‖z̃ − z*‖_Γ ≤ ‖We‖_Γ/μ and ‖G(ẑ − z*)‖ ≤ ‖Ge‖ + ‖GΓ^{−1/2}‖·‖We‖_Γ/μ:
the solver and its tolerance do not matter. For W strictly lower-triangular in storage, |ẑ − z*| ≤ s
with s = |e| + |W|s, which is solved by substitution. The smaller of the two is used.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import Equilibrium
from certlip.certify.enclosure.base import Local, sigma_ball
from certlip.linalg.rigorous.ball import Ball, magnitude
from certlip.linalg.rigorous.rounding import TINY, gamma, norm_up, up
from certlip.linalg.triangular import strict_lower_blocks
from certlip.lmi import EquilibriumProof


class EquilibriumEncloser:
    """The enclosure of one block; |W|, |G| and the weights of Γ are prepared once."""

    def __init__(self, block: Equilibrium, proof: EquilibriumProof) -> None:
        if proof.gam is None or proof.mu is None or proof.gam_root_G is None:
            raise ValueError("the proof of an equilibrium block carries Γ, μ and ‖GΓ^{−1/2}‖")
        self.block = block
        self.W, self.U, self.G = block.W.numpy(), block.U.numpy(), block.G.numpy()
        self.abs_W, self.abs_G = np.abs(self.W), np.abs(self.G)
        self.root_gam = up(np.sqrt(proof.gam))
        self.mu, self.gam_root_G = proof.mu.value, proof.gam_root_G.value
        self.blocks = strict_lower_blocks(self.W)

    def __call__(self, x: np.ndarray, z: np.ndarray) -> Local:
        """y = Gz + b_y for the guess z (batch, n), with its distance to the true output."""
        v = Ball(z) @ Ball(self.W.T) + Ball(x) @ Ball(self.U.T) + Ball(self.block.b_z.numpy())
        e = magnitude(Ball(z) - sigma_ball(self.block.sigma, v))
        y = Ball(z) @ Ball(self.G.T) + Ball(self.block.b_y.numpy())
        distance = self._by_monotonicity(e)
        if self.blocks is not None:
            distance = np.fmin(distance, self._by_substitution(e))
        delta = up(distance + Ball(y.radius()).norm_upper())
        return Local(y.mid, delta, z, norm_up(e))

    def _by_monotonicity(self, e: np.ndarray) -> np.ndarray:
        We = _product_up(e, self.abs_W.T)
        in_gam = norm_up(up(We * self.root_gam) + TINY)
        far = up(up(self.gam_root_G * in_gam) / self.mu)
        return up(norm_up(_product_up(e, self.abs_G.T)) + far)

    def _by_substitution(self, e: np.ndarray) -> np.ndarray:
        s = e.copy()
        for B in self.blocks or []:
            if B.start:
                s[:, B] = up(e[:, B] + _product_up(s[:, : B.start], self.abs_W[B, : B.start].T))
        return norm_up(_product_up(s, self.abs_G.T))


def _product_up(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Upper bound of the product of nonnegative matrices."""
    return up((a @ b) * (1.0 + 2.0 * gamma(a.shape[-1] + 2))) + TINY
