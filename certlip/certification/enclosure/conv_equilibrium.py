"""An equilibrium on images: the norm of the residual of any guess ẑ bounds its distance.

As for a dense block, with e = ẑ − σ(W∗ẑ + U∗x + b_z) and 2Γ − ΓW − WᵀΓ ⪰ 2μΓ the state ẑ − e is within
‖W∗e‖_Γ/μ of the equilibrium, so ‖G(ẑ − z*)‖ ≤ ‖GΓ^{−1/2}‖(‖e‖_Γ + ‖W∗e‖_Γ/μ). Here ‖W∗e‖_Γ is at most
‖Γ^{1/2}WΓ^{−1/2}‖‖e‖_Γ. Where e is not so small that this will do, W∗e is computed, and its norm is that of
its spectrum: fine-tuning makes W large at a few frequencies, where a residual is as small as elsewhere.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from certlip.blocks import ConvEquilibrium
from certlip.certification.enclosure.base import Local
from certlip.certification.enclosure.by_frequency import ByFrequency
from certlip.certification.enclosure.convolution import convolution_map
from certlip.certification.enclosure.guesses import Polish, residual_and_slopes
from certlip.certification.enclosure.image import working
from certlip.certification.enclosure.near import Near
from certlip.certification.enclosure.side_by_side import in_steps
from certlip.linalg.rigorous.rounding import TINY, norm_up, up
from certlip.lmi import EquilibriumProof


class ConvEquilibriumEncloser:
    """The enclosure of one block; spectra and weights of Γ are prepared once."""

    def __init__(self, block: ConvEquilibrium, proof: EquilibriumProof) -> None:
        gam, mu, gam_root_G, gam_W = proof.gam, proof.mu, proof.gam_root_G, proof.gam_W
        if gam is None or mu is None or gam_root_G is None or gam_W is None:
            raise ValueError(
                "the proof of a conv-equilibrium block carries Γ, μ, ‖GΓ^{−1/2}‖ and ‖Γ^{1/2}WΓ^{−1/2}‖"
            )
        self.W, self.U, self.G = (
            convolution_map(kernel.numpy(), block.height, block.width, "circular")
            for kernel in (block.W, block.U, block.G)
        )
        self.b_z, self.b_y = (np.repeat(b.numpy(), block.pixels) for b in (block.b_z, block.b_y))
        self.sigma = block.sigma
        self.gam = gam
        self.root_gam = up(np.sqrt(gam))  # per channel
        self.mu, self.gam_root_G, self.gam_W = mu.value, gam_root_G.value, gam_W.value

    def __call__(self, x: np.ndarray, z: np.ndarray, polish: Polish | None = None) -> Local:
        """y = G∗z + b_y for the guess z (batch, n·H·W), with its distance to the true output.

        `polish` may move the guess once its residual is known.
        """
        numbers = max(self.W.numbers, self.U.numbers, self.G.numbers)
        return Local(*in_steps(partial(self._rows, polish), working(numbers), x, z))

    def _rows(self, polish: Polish | None, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, ...]:
        v = self.W(Near.exact(z)) + self.U(Near.exact(x)) + self.b_z
        if polish is not None:
            d = polish.distance(*residual_and_slopes(self.sigma, z, v.v))
            moved = z - d
            # W∗z is known: what is added to it is W∗(z′ − z), exactly that
            v, z = v + self.W(Near.exact(moved) - Near.exact(z)), moved
        guess = Near.exact(z)
        e = guess - v.activated(self.sigma)
        e_gam = self._in_gam(e)
        We_gam = up(self.gam_W * e_gam)
        if polish is None or polish.thorough:
            We_gam = np.fmin(We_gam, self._W_in_gam(e))
        distance = up(e_gam + up(We_gam / self.mu))
        y = self.G(guess) + self.b_y
        return y.v, up(up(self.gam_root_G * distance) + y.error), z, e.norm_upper()

    def _W_in_gam(self, e: Near) -> np.ndarray:
        """Upper bound of ‖W∗e‖_Γ of the true row."""
        if isinstance(self.W, ByFrequency):
            return self.W.norm_in(self.gam, e)
        return self._in_gam(self.W(e))

    def _in_gam(self, e: Near) -> np.ndarray:
        """Upper bound of ‖e‖_Γ of the true row."""
        channels = norm_up(e.v.reshape(len(e.v), len(self.gam), -1))
        v = norm_up(up(channels * self.root_gam))
        return up(v + up(float(self.root_gam.max()) * e.error)) + TINY
