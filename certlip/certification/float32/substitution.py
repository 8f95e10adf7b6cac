"""A triangular equilibrium in float32, solved by forward substitution or run as its chain.

Every z_i is computed once, as σ(Σ_{j<i} W_ij z_j + U_i x + b_i), so the residual e = ẑ − σ(Wẑ + Ux + b) of
what comes out is rounding alone, and bounded before anything is known about x:

    ‖e‖_Γ ≤ q(a‖ẑ‖_Γ + u‖x‖ + ‖b‖_Γ),   a = ‖Γ^{1/2}|W|Γ^{−1/2}‖, u = ‖Γ^{1/2}|U|‖.

With (3) at margin μ, ‖ẑ − z*‖_Γ ≤ κ‖e‖_Γ for κ = 1 + a/μ, and ‖z*‖_Γ ≤ (u‖x‖ + ‖b‖_Γ)/μ since σ(0) = 0.
A chain computes P_n(Σ_j G_j z_j) where W_nj = P_n G_j up to the rounding of stored products: |P||G| in
place of |W|, and what is left of PG − W is added.
"""

from __future__ import annotations

import numpy as np
import torch

from certlip.blocks import Equilibrium
from certlip.certification.float32.activations import relative_error
from certlip.certification.float32.arithmetic import ETA, bounded, gamma32, upward
from certlip.certification.float32.base import LocalError
from certlip.certification.float32.products import crude_norm, norm_of, require_range, root_up
from certlip.errors import InconclusiveError, UnsupportedError
from certlip.linalg.rigorous.ball import Ball, magnitude
from certlip.linalg.rigorous.rounding import norm_up, up
from certlip.linalg.triangular import strict_lower_blocks
from certlip.lmi import EquilibriumProof
from certlip.solvers.chain import chain_of


class SubstitutionError(LocalError):
    """y = Gz + b_y for the z of a substitution."""

    def __init__(self, block: Equilibrium, proof: EquilibriumProof) -> None:
        gam, mu, gam_root_G = proof.gam, proof.mu, proof.gam_root_G
        if gam is None or mu is None or gam_root_G is None or not mu.value > 0.0:
            raise UnsupportedError("the proof of an equilibrium carries Γ, μ > 0 and ‖GΓ^{−1/2}‖")
        W, U, G, b_z, b_y = (
            np.abs(getattr(block, name).numpy()) for name in ("W", "U", "G", "b_z", "b_y")
        )
        require_range(W, U, G, b_z, b_y)
        n, p, q = block.n, block.in_width, block.out_width
        root, inverse = root_up(gam), up(up(1.0 / np.sqrt(gam)))
        self.mu, self.gam_root_G = mu.value, gam_root_G.value
        self.u = norm_of(up(root[:, None] * U))
        self.b = float(norm_up(up(root * b_z)))
        kappa = upward(1.0 + norm_of(_in_gam(W, root, inverse)) / self.mu)
        length, left = n + p + 3, 0.0
        if chain_of(block, torch.float64, "cpu") is not None:
            length += 2 * n + q + 5
            W, rest = _chained(block)
            left = 2.0 * float(norm_up(_in_gam(rest, root, inverse).reshape(-1)))  # σ rounds it too
        rounding = gamma32(length)
        relative = relative_error(block.sigma)
        self.q = upward(rounding + relative * (1.0 + rounding))
        # every product of two stored numbers and a state or input is counted as flushed
        size = 1.0 + crude_norm(W) + crude_norm(U) + crude_norm(G)
        flush = upward(64.0 * ETA * size**2 * (length + 2) * np.sqrt(length))
        self.flush, self.flush_in_gam = flush, upward(flush * float(root.max()))
        self.shrunk = float(inverse.max())  # ‖z‖₂ ≤ this · ‖z‖_Γ
        share = upward(
            self.q * norm_of(_in_gam(W, root, inverse)) + left + self.flush_in_gam * self.shrunk
        )
        if not share * kappa < 0.5:
            raise InconclusiveError("the float32 errors of its substitution may grow without bound")
        self.kappa, self.share = kappa, share
        self.G, self.b_y = norm_of(up(G * inverse)), float(norm_up(b_y))
        self.gamma_G = gamma32(n + 3)
        self.size = upward(64.0 * size**2 * np.sqrt(length))
        self.biases = float(upward(norm_up(b_z) + self.b_y))

    def __call__(self, N: np.ndarray) -> np.ndarray:
        driven = upward(self.u * N + self.b)
        Z = upward(driven / self.mu)
        e = self.share * Z + self.q * driven + self.flush_in_gam * (1.0 + N)
        e = upward(e / (1.0 - self.share * self.kappa))  # at least 1/2: nothing cancels
        z = upward(Z + self.kappa * e)
        in_2 = upward(self.shrunk * z)
        own = self.gamma_G * (self.G * z + self.b_y) + self.flush * (1.0 + in_2)
        error = upward(self.gam_root_G * self.kappa * e + own)
        return bounded(upward(self.size * (1.0 + N + in_2 + self.biases)), error)


def _in_gam(A: np.ndarray, root: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """At least Γ^{1/2}AΓ^{−1/2} for A ≥ 0."""
    return up(up(root[:, None] * A) * inverse)


def _chained(block: Equilibrium) -> tuple[np.ndarray, np.ndarray]:
    """max(|W|, |P||G|) and |PG − W|, both (n, n) and rounded up, where W = PG is read block by block."""
    W, G = block.W.numpy(), block.G.numpy()
    blocks = strict_lower_blocks(W) or []
    P = W[:, blocks[0]]
    product = magnitude(Ball(np.abs(P)) @ Ball(np.abs(G)))
    rest = magnitude(Ball(P) @ Ball(G) - Ball(W))
    for B in blocks:
        product[B, B.start :] = rest[B, B.start :] = 0.0
    return np.maximum(np.abs(W), product), rest
