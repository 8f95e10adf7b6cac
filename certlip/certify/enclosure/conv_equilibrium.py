"""An equilibrium on images: the norm of the residual of any guess ẑ bounds its distance.

As for a dense block, with e = ẑ − σ(W∗ẑ + U∗x + b_z) and 2Γ − ΓW − WᵀΓ ⪰ 2μΓ the state ẑ − e is within
‖We‖_Γ/μ of the equilibrium. With ω ≥ ‖Γ^{1/2}WΓ^{−1/2}‖₂, the largest over the frequencies,
‖ẑ − z*‖_Γ ≤ (1 + ω/μ)‖e‖_Γ, and ‖G(ẑ − z*)‖ ≤ ‖GΓ^{−1/2}‖·‖ẑ − z*‖_Γ.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import ConvEquilibrium
from certlip.certify.enclosure.base import Local
from certlip.certify.enclosure.convolution import convolution_map
from certlip.certify.enclosure.image import in_steps
from certlip.certify.enclosure.near import Near
from certlip.linalg.rigorous.rounding import TINY, norm_up, up
from certlip.lmi import EquilibriumProof


class ConvEquilibriumEncloser:
    """The enclosure of one block; spectra and weights of Γ are prepared once."""

    def __init__(self, block: ConvEquilibrium, proof: EquilibriumProof) -> None:
        gam, mu, gam_root_G, gam_W = proof.gam, proof.mu, proof.gam_root_G, proof.gam_W
        if gam is None or mu is None or gam_root_G is None or gam_W is None:
            raise ValueError("the proof of a conv-equilibrium block carries Γ, μ and two norms")
        self.W, self.U, self.G = (
            convolution_map(kernel.numpy(), block.height, block.width, "circular")
            for kernel in (block.W, block.U, block.G)
        )
        self.b_z, self.b_y = (np.repeat(b.numpy(), block.pixels) for b in (block.b_z, block.b_y))
        self.sigma = block.sigma
        self.root_gam = np.repeat(up(np.sqrt(gam)), block.pixels)
        # ‖GΓ^{−1/2}‖(1 + ω/μ): from ‖e‖_Γ to the output
        far = up(1.0 + up(gam_W.value / mu.value))
        self.growth = float(up(gam_root_G.value * far))

    def __call__(self, x: np.ndarray, z: np.ndarray) -> Local:
        """y = G∗z + b_y for the guess z (batch, n·H·W), with its distance to the true output."""
        numbers = max(self.W.numbers, self.U.numbers, self.G.numbers)
        return in_steps(self._rows, numbers, x, z)

    def _rows(self, x: np.ndarray, z: np.ndarray) -> Local:
        guess = Near.exact(z)
        v = self.W(guess) + self.U(Near.exact(x)) + self.b_z
        e = guess - v.activated(self.sigma)
        in_gam = up(norm_up(up(np.abs(e.v) * self.root_gam) + TINY))
        in_gam = up(in_gam + up(float(self.root_gam.max()) * e.error))
        y = self.G(guess) + self.b_y
        return Local(y.v, up(up(self.growth * in_gam) + y.error), z, e.norm_upper())
