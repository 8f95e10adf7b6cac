"""An LBEN on images that end in zeros: the norm of the residual of any guess ẑ bounds its distance.

As for an equilibrium on a torus, with Γ = Ψ⁻¹: ‖G(ẑ − z*)‖ ≤ ‖GΨ^{1/2}‖(1 + ω/μ)‖e‖_Γ for the residual e
of ẑ and ω ≥ ‖Γ^{1/2}WΓ^{−1/2}‖₂. W is applied by its formula, convolution by convolution; A and ŪŪᵀ on an
image with room for all that their kernels reach.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import PaddedEquilibrium
from certlip.certification.enclosure.base import Local
from certlip.certification.enclosure.convolution import convolution_map
from certlip.certification.enclosure.guesses import Polish
from certlip.certification.enclosure.image import working
from certlip.certification.enclosure.near import Near
from certlip.certification.enclosure.side_by_side import in_steps, product
from certlip.linalg.rigorous import spectral_norm
from certlip.linalg.rigorous.rounding import TINY, U, gamma, norm_up, up
from certlip.lmi import EquilibriumProof


class PaddedEquilibriumEncloser:
    """The enclosure of one block; kernels and norms are prepared once."""

    def __init__(self, block: PaddedEquilibrium, proof: EquilibriumProof) -> None:
        mu, gam_root_G, gam_W = proof.mu, proof.gam_root_G, proof.gam_W
        if mu is None or gam_root_G is None or gam_W is None or not mu.value > 0.0:
            raise ValueError("the proof of a padded-equilibrium block carries μ > 0 and two norms")
        shape = block.height, block.width
        self.psi, self.m, self.double_lip = block.psi.numpy().ravel(), block.m, 2.0 * block.lip
        B = block.B.numpy()
        self.U = convolution_map(block.U.numpy(), *shape, "zero")
        self.B = convolution_map(B, *shape, "zero")
        self.BT = convolution_map(B, *shape, "zero", adjoint=True)
        self.A = _Roomy(block.A.numpy(), *shape)
        self.UT = _Roomy(block.U.numpy(), *shape)
        self.G, self.GT = _Matrix(block.G.numpy()), _Matrix(block.G.numpy().T)
        self.b_z, self.b_y = np.repeat(block.b_z.numpy(), block.pixels), block.b_y.numpy()
        self.sigma = block.sigma
        self.root_gam = up(np.sqrt(up(1.0 / self.psi)))
        self.growth = float(up(gam_root_G.value * up(1.0 + up(gam_W.value / mu.value))))

    @np.errstate(over="ignore", invalid="ignore")
    def __call__(self, x: np.ndarray, z: np.ndarray, polish: Polish | None = None) -> Local:
        """y = Gz + b_y for the guess z (batch, n·H·W), with its distance to the true output."""
        del polish  # no solver of these tells how
        numbers = max(self.A.numbers, self.UT.numbers, self.B.numbers, self.U.numbers)
        return Local(*in_steps(self._rows, working(numbers), x, z))

    def _rows(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, ...]:
        guess = Near.exact(z)
        Gz = self.G(guess)
        v = self._state(guess, Gz) + self.U(Near.exact(x)) + self.b_z
        e = guess - v.activated(self.sigma)
        in_gam = up(norm_up(up(np.abs(e.v) * self.root_gam) + TINY))
        in_gam = up(in_gam + up(float(self.root_gam.max()) * e.error))
        y = Gz + self.b_y
        return y.v, up(up(self.growth * in_gam) + y.error), z, e.norm_upper()

    def _state(self, z: Near, Gz: Near) -> Near:
        """Wz = z − Ψ(AᵀAz + mz + Bᵀz − Bz + GᵀGz/(2L)) − ŪŪᵀ(z/Ψ)/(2L)."""
        F = self.A.gram(z) + z * np.array([self.m]) + self.BT(z) - self.B(z)
        F = F + _divided(self.GT(Gz), self.double_lip)
        UU = _divided(self.UT.turned_gram(_divided(z, self.psi)), self.double_lip)
        return z - F * self.psi - UU


class _Roomy:
    """A convolution on the image with room around it for all that its kernel reaches."""

    def __init__(self, K: np.ndarray, height: int, width: int) -> None:
        self.shape, self.room = (height, width), [k // 2 for k in K.shape[2:]]
        self.wide = height + 2 * self.room[0], width + 2 * self.room[1]
        self.K = convolution_map(K, *self.wide, "zero")
        self.KT = convolution_map(K, *self.wide, "zero", adjoint=True)
        self.numbers = max(self.K.numbers, self.KT.numbers)

    def gram(self, z: Near) -> Near:
        """KᵀKz, where K gives all pixels it reaches."""
        return self._inside(self.KT(self.K(self._with_room(z))))

    def turned_gram(self, z: Near) -> Near:
        """K̄K̄ᵀz, where K̄ reads all pixels it reaches."""
        return self._inside(self.K(self.KT(self._with_room(z))))

    def _with_room(self, z: Near) -> Near:
        image = z.v.reshape(len(z.v), -1, *self.shape)
        sides = [(0, 0), (0, 0), *((r, r) for r in self.room)]
        return Near(np.pad(image, sides).reshape(len(z.v), -1), z.error)

    def _inside(self, z: Near) -> Near:
        image = z.v.reshape(len(z.v), -1, *self.wide)
        (r, c), (H, W) = self.room, self.shape
        inside = image[:, :, r : r + H, c : c + W]
        return Near(np.ascontiguousarray(inside).reshape(len(z.v), -1), z.error)


class _Matrix:
    """x ↦ Mx: ‖fl(Mx) − Mx‖ ≤ γ_k ‖|M|‖₂ ‖x‖."""

    def __init__(self, M: np.ndarray) -> None:
        # up: TINY more, or γ times denormal numbers would be zero
        self.MT, self.size = M.T, float(up(spectral_norm(np.abs(M)).value))

    def __call__(self, x: Near) -> Near:
        own = up(up(gamma(len(self.MT)) * self.size) * norm_up(x.v)) + TINY
        return Near(product(x.v, self.MT), up(up(self.size * x.error) + own))


def _divided(z: Near, by: np.ndarray | float) -> Near:
    """z/by for exact positive numbers: one rounding per entry."""
    v = z.v / by
    smallest = float(np.min(by))
    return Near(v, up(up(z.error / smallest) + up(U * norm_up(v)) + TINY))
