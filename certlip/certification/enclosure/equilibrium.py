"""An equilibrium block: the residual of any guess ẑ bounds its distance to the equilibrium.

With e = ẑ − σ(Wẑ + Ux + b_z) and 2Γ − ΓW − WᵀΓ ⪰ 2μΓ, z̃ = ẑ − e solves the equilibrium for an
argument of σ that is off by We, so ‖z̃ − z*‖_Γ ≤ ‖We‖_Γ/μ and ‖G(ẑ − z*)‖ ≤ ‖Ge‖ + ‖GΓ^{−1/2}‖·‖We‖_Γ/μ,
or with another factor (`growth`): the solver and its tolerance do not matter. For W strictly
lower-triangular in storage, |ẑ − z*| ≤ s with s = |e| + |W|s, which is solved by substitution. The
smaller of the two is used.

The computed e is within r of the true one: a dot product with a row w of W errs by γ_k‖w‖₂‖ẑ‖₂ at most.
"""

from __future__ import annotations

import numpy as np
import torch

from certlip.blocks import Equilibrium
from certlip.certification.enclosure.apriori import LARGEST, size_of
from certlip.certification.enclosure.base import Local
from certlip.certification.enclosure.growth import growth
from certlip.certification.enclosure.guesses import Polish, residual_and_slopes
from certlip.certification.enclosure.side_by_side import product
from certlip.linalg.rigorous.rounding import TINY, U, gamma, norm_up, up
from certlip.linalg.triangular import strict_lower_blocks
from certlip.lmi import EquilibriumProof


class EquilibriumEncloser:
    """The enclosure of one block; norms and weights of Γ are prepared once."""

    def __init__(self, block: Equilibrium, proof: EquilibriumProof) -> None:
        if proof.gam is None or proof.mu is None or proof.gam_root_G is None:
            raise ValueError("the proof of an equilibrium block carries Γ, μ and ‖GΓ^{−1/2}‖")
        self.W, self.U, self.G, self.b_z, self.b_y = (
            a.numpy() for a in (block.W, block.U, block.G, block.b_z, block.b_y)
        )
        self.sigma, self.relative = block.sigma, block.sigma.relative_error().numpy()
        n, terms = len(self.W), sum(self.U.shape) + 2
        # r ≤ γ(‖ẑ‖ w + ‖x‖ u + |b_z|) entry by entry, where w and u hold the norms of rows
        self.share = up(gamma(terms) + self.relative * (1.0 + 2.0 * gamma(terms)))
        self.rows_W, self.rows_U = norm_up(self.W), norm_up(self.U)
        self.root_gam = up(np.sqrt(proof.gam))
        self.growth = growth(self.U, proof)
        # ‖|W|‖ in the norm of Γ and ‖|G|Γ^{−1/2}‖, for what products with e may err by
        small_root = np.sqrt(proof.gam) * (1.0 - 4.0 * U)
        self.omega = size_of(up(up(self.root_gam[:, None] * np.abs(self.W)) / small_root))
        self.size_G = size_of(up(np.abs(self.G) / small_root))
        self.readout = float(up(gamma(n + 1) * size_of(self.G))), gamma(n + 1)
        self.norm_b_y = float(norm_up(self.b_y))
        self.abs_G = np.abs(self.G)
        self.blocks = strict_lower_blocks(self.W)

    def __call__(self, x: np.ndarray, z: np.ndarray, polish: Polish | None = None) -> Local:
        """y = Gz + b_y for the guess z (batch, n), with its distance to the true output.

        `polish` may move the guess once its residual is known.
        """
        driving = product(x, self.U.T)
        if polish is not None:
            v = product(z, self.W.T) + driving + self.b_z
            z = z - polish.distance(*residual_and_slopes(self.sigma, z, v))
        v = product(z, self.W.T) + driving + self.b_z
        e = z - self.sigma.forward(torch.from_numpy(v)).numpy()
        z_norm = norm_up(z)
        r = self._rounding(z_norm, norm_up(x), e)
        y = product(z, self.G.T) + self.b_y
        distance = self._by_monotonicity(e, r)
        size = up(np.abs(e) + r)
        if self.blocks is not None:
            distance = np.fmin(distance, self._by_substitution(size))
        own = up(up(self.readout[0] * z_norm) + up(self.readout[1] * self.norm_b_y)) + TINY
        return Local(y, up(distance + own), z, norm_up(size))

    def _rounding(self, z_norm: np.ndarray, x_norm: np.ndarray, e: np.ndarray) -> np.ndarray:
        """r ≥ |e − true e|, entry by entry."""
        reach = up(up(z_norm[:, None] * self.rows_W) + up(x_norm[:, None] * self.rows_U))
        reach = up(reach + np.abs(self.b_z))
        reach = np.where(reach <= LARGEST, reach, np.inf)  # or a sum could overflow
        return up(up(self.share * reach) + up(U * np.abs(e))) + TINY

    def _by_monotonicity(self, e: np.ndarray, r: np.ndarray) -> np.ndarray:
        in_gam = norm_up(up(np.abs(e) * self.root_gam))
        r_gam = norm_up(up(r * self.root_gam))
        off = up(up(gamma(len(self.W)) * in_gam) + r_gam)
        We = (
            up(norm_up(up(np.abs(product(e, self.W.T)) * self.root_gam)) + up(self.omega * off))
            + TINY
        )
        Ge = up(norm_up(product(e, self.G.T)) + up(self.size_G * off)) + TINY
        return up(Ge + up(self.growth * We))

    def _by_substitution(self, s: np.ndarray) -> np.ndarray:
        s = s.copy()
        for B in self.blocks or []:
            if B.start:
                earlier = _product_up(s[:, : B.start], np.abs(self.W[B, : B.start]).T)
                s[:, B] = up(s[:, B] + earlier)
        return norm_up(_product_up(s, self.abs_G.T))


def _product_up(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Upper bound of the product of nonnegative matrices."""
    return up(product(a, b) * (1.0 + 2.0 * gamma(a.shape[-1] + 2))) + TINY
