"""An equilibrium that is run for k float32 steps from 0: truncation and rounding, over a whole ball.

T(z) = σ((1 − α)z + α(Wz + Ux + b_z)) contracts by ρ = ‖(1 − α)I + αW‖ in the norm of Γ, and z* = T(z*).
A step rounds by at most

    ‖δ‖_Γ ≤ q(m‖ẑ‖_Γ + α(u‖x‖ + ‖b‖_Γ)),   m = (1 − α) + α‖Γ^{1/2}|W|Γ^{−1/2}‖, u = ‖Γ^{1/2}|U|‖.

With ‖ẑ‖ ≤ ‖ẑ − z*‖ + Z, Z ≥ ‖z*‖_Γ, the distance d_j of step j satisfies d_0 ≤ Z and
d_{j+1} ≤ (ρ + qm)d_j + e, e = qmZ + qα(u‖x‖ + ‖b‖_Γ), so with r = ρ + qm < 1

    d_k ≤ r^k Z + e(1 + r + … + r^{k−1}).

No part of it depends on where a solver stops. ‖z*‖_Γ ≤ (u‖x‖ + ‖b‖_Γ)/μ by (3), since σ(0) = 0.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import Equilibrium
from certlip.certification.float32.activations import relative_error
from certlip.certification.float32.arithmetic import ETA, bounded, gamma32, upward
from certlip.certification.float32.base import LocalError
from certlip.certification.float32.products import crude_norm, norm_of, require_range, root_up
from certlip.certification.semantics import Steps
from certlip.errors import InconclusiveError, UnsupportedError
from certlip.linalg.rigorous import Ball, spectral_norm
from certlip.linalg.rigorous.rounding import TINY, U, norm_up, up
from certlip.lmi import EquilibriumProof

#: Functions that are their own proximal operator whatever its step: the others need α = 1.
PROJECTIONS = frozenset({"relu", "identity"})


class StepsError(LocalError):
    """y = Gẑ_k + b_y.

    Raises:
        UnsupportedError: α < 1 with a σ whose fixed points would move.
        InconclusiveError: the steps are not proven to contract.
    """

    def __init__(self, block: Equilibrium, proof: EquilibriumProof, steps: Steps) -> None:
        gam, mu, gam_root_G = proof.gam, proof.mu, proof.gam_root_G
        if gam is None or mu is None or gam_root_G is None or not mu.value > 0.0:
            raise UnsupportedError("the proof of an equilibrium carries Γ, μ > 0 and ‖GΓ^{−1/2}‖")
        alpha, kinds = steps.alpha, {kind.name for kind, _ in block.sigma.segments}
        if alpha < 1.0 and not kinds <= PROJECTIONS:
            raise UnsupportedError(
                f"steps of length {alpha:g} have another fixed point with {', '.join(sorted(kinds))}; "
                "only those of length 1 have a bound"
            )
        W, U_, G, b_z, b_y = (
            np.abs(getattr(block, name).numpy()) for name in ("W", "U", "G", "b_z", "b_y")
        )
        require_range(W, U_, G, b_z, b_y)
        n, p, q = block.n, block.in_width, block.out_width
        root, inverse = root_up(gam), up(up(1.0 / np.sqrt(gam)))
        self.mu, self.gam_root_G = mu.value, gam_root_G.value
        self.u = norm_of(up(root[:, None] * U_))
        self.b = float(norm_up(up(root * b_z)))
        self.shrunk = float(inverse.max())  # ‖z‖₂ ≤ this · ‖z‖_Γ
        # dot products of n + p terms, b, α, 1 − α, their products and the last sum, all rounded
        length = n + p + 10
        rounding, relative = gamma32(length), relative_error(block.sigma)
        self.q = upward(rounding + relative * (1.0 + rounding))
        size = 1.0 + crude_norm(W) + crude_norm(U_) + crude_norm(G)
        self.flush = upward(64.0 * ETA * size**2 * (length + q + 2) * np.sqrt(length + q))
        self.flush_in_gam = upward(self.flush * float(root.max()))
        own = upward((1.0 - alpha) + alpha * norm_of(up(up(root[:, None] * W) * inverse)))
        self.share = upward(self.q * own + self.flush_in_gam * self.shrunk)
        rate = upward(contraction(block, gam, alpha) + self.share)
        if not rate <= 1.0 - 1e-6:
            raise InconclusiveError(
                f"its steps of length {alpha:g} are not proven to contract (factor {rate:.4g}); "
                "a smaller one may: float32:K:ALPHA"
            )
        self.left = 1.0  # r^k
        for _ in range(steps.count):
            self.left = upward(self.left * rate)
        self.gain = min(upward(1.0 / (1.0 - rate)), float(steps.count))
        self.alpha = alpha
        self.G, self.b_y, self.gamma_G = (
            norm_of(up(G * inverse)),
            float(norm_up(b_y)),
            gamma32(n + 3),
        )
        self.size = upward(64.0 * size**2 * np.sqrt(length))
        self.biases = float(upward(norm_up(b_z) + self.b_y))

    def __call__(self, N: np.ndarray) -> np.ndarray:
        driven = upward(self.u * N + self.b)
        Z = upward(driven / self.mu)
        each = self.share * Z + self.q * self.alpha * driven + self.flush_in_gam * (1.0 + N)
        rounded = upward(self.gain * each)
        far = upward(self.left * Z + rounded)
        in_2 = upward(self.shrunk * (Z + Z + rounded))  # of every state on the way
        own = self.gamma_G * (self.G * (Z + far) + self.b_y) + self.flush * (1.0 + in_2)
        error = upward(self.gam_root_G * far + own)
        return bounded(upward(self.size * (1.0 + N + in_2 + self.biases)), error)


def contraction(block: Equilibrium, gam: np.ndarray, alpha: float) -> float:
    """A proven bound of ‖(1 − α)I + αW‖ in the norm of Γ."""
    root = np.sqrt(gam)
    inverse = 1.0 / root
    weights = Ball(root, up(U * root) + TINY)
    # root is within u, its inverse within two roundings
    others = Ball(inverse, up(4.0 * U * inverse) + TINY)
    eye = np.eye(block.n)
    step = Ball(block.W.numpy()) * np.float64(alpha) + (Ball(eye) - Ball(eye) * np.float64(alpha))
    try:
        return spectral_norm(weights[:, None] * step * others[None, :]).value
    except ValueError as error:
        raise InconclusiveError(str(error)) from None
