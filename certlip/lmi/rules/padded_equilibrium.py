"""The rule of an LBEN on images that end in zeros: its formula proves L = lip, a Cholesky a smaller one.

With Λ = tΨ⁻¹ and M = GᵀG/l + Ψ⁻¹ŪŪᵀΨ⁻¹/l + 2AᵀA + 2mI for l = lip, the matrix of (4) is

    tM − GᵀG/L − t²Ψ⁻¹UUᵀΨ⁻¹/L ⪰ (t/L)(2L(AᵀA + mI) + (L/l − t)Ψ⁻¹ŪŪᵀΨ⁻¹ + (L/l − 1/t)GᵀG),

since UUᵀ ⪯ ŪŪᵀ. For t = 1 and L ≥ l nothing is left to compute: the bracket is at least 2L·mI ≻ 0. For
smaller L it has the same taps at every pixel, up to Ψ, and q dense rows: block tridiagonal with a border.
M/t, the left side of (3) with Γ = Ψ⁻¹, is at least 2mI ⪰ 2μΓ for μ = m·min Ψ: always well-posed.
"""

from __future__ import annotations

import math
import time
from fractions import Fraction

import numpy as np

from certlip.blocks import PaddedEquilibrium
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import LowerBound, UpperBound, spectral_norm
from certlip.linalg.rigorous.arrow import Arrow, is_arrow_positive_definite
from certlip.linalg.rigorous.ball import Ball, mirrored
from certlip.linalg.rigorous.frequencies import covering
from certlip.linalg.rigorous.rounding import TINY, U, down, up
from certlip.lmi.proof import EquilibriumProof
from certlip.lmi.scaling import best_scale
from certlip.lmi.slack import SLACK
from certlip.lmi.strips import Strips, gram_taps

#: Relative increments of the L that the best scale is estimated to give.
LADDER = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


def prove_padded_equilibrium(
    block: PaddedEquilibrium, *, lip: float | None = None
) -> EquilibriumProof:
    """The smallest L that a multiple of Ψ⁻¹ proves, at most `block.lip`; or exactly `lip`.

    Raises:
        InconclusiveError: `lip` is smaller than what a multiple of Ψ⁻¹ proves.
    """
    start = time.perf_counter()
    if lip is not None and lip >= block.lip:
        proven = lip
    else:
        guess = best_scale(block)
        condition = Condition(block)
        wanted = [guess.lip * (1.0 + d) for d in LADDER] if lip is None else [lip]
        smaller = (L for L in wanted if block.lip > L)
        proven = next((L for L in smaller if condition.holds(guess.scale, L)), block.lip)
        if lip is not None and proven != lip:
            raise InconclusiveError(
                f"(10) with L = {lip!r} is not proven by a multiple of Ψ⁻¹, which gives about "
                f"{guess.lip:.6g} at best"
            )
    mu = float(down(block.m * float(block.psi.min())))
    if not mu > 0.0:
        raise InconclusiveError("m·min Ψ underflows: (3) has no margin in double precision")
    return EquilibriumProof(
        block.kind,
        UpperBound(float(proven)),
        block.lip if lip is None else lip,
        time.perf_counter() - start,
        condition="10",
        method="analytic",
        family="lben",
        mu=LowerBound(max(mu, 0.0)),
        gam_root_G=spectral_norm(Ball(block.G.numpy()) * _root(block.psi.numpy().reshape(1, -1))),
        gam_W=_state_norm(block),
    )


class Condition:
    """The right side above, without its factor t/L."""

    def __init__(self, block: PaddedEquilibrium) -> None:
        psi = block.psi.numpy()
        n, H, W = psi.shape
        self.block = block
        self.AA = gram_taps(block.A.numpy())
        # Ū reads x where its adjoint writes: the Gram matrix of the kernel turned by 180°
        self.UU = gram_taps(block.U.numpy()[:, :, ::-1, ::-1].swapaxes(0, 1))
        reach = max(self.AA.shape[0], self.UU.shape[0]) // 2
        self.strips = Strips(n, H, W, max(reach, 1))
        self.G = block.G.numpy().reshape(-1, n, H, W)
        inverse = 1.0 / psi
        self.lam = Ball(inverse, up(U * inverse) + TINY)

    def holds(self, t: float, lip: float) -> bool:
        """Whether it is proven positive definite."""
        return is_arrow_positive_definite(self.matrix(t, lip), slack=SLACK)

    def matrix(self, t: float, lip: float) -> Arrow:
        """(…) ≻ 0 if this matrix is: its coefficients of GᵀG and ŪŪᵀ are rounded down."""
        of_UU, of_GG = _coefficients(t, lip, self.block.lip)
        AA, UU = self.AA * (2.0 * lip), self.UU * of_UU
        n = self.strips.channels
        shift = np.zeros(AA.shape)
        shift[AA.shape[0] // 2, AA.shape[1] // 2] = np.eye(n)
        AA = AA + Ball(shift) * (2.0 * lip) * self.block.m
        count = len(self.strips)
        diagonal = [mirrored(self._block(AA, UU, k, k)) for k in range(count)]
        below = [self._block(AA, UU, k + 1, k) for k in range(count - 1)]
        # S + βGᵀG ≻ 0 for β < 0 if [[S, Gᵀ], [G, κI]] ≻ 0 with 1/κ ≥ −β; of β ≥ 0 nothing is needed
        q = len(self.G) if of_GG < 0.0 else 0
        border = [Ball(self.strips.of(self.G[:q], k)) for k in range(count)]
        kappa = float(down(1.0 / -of_GG)) if q else 1.0
        return Arrow(diagonal, below, border, Ball(kappa * np.eye(q)))

    def _block(self, AA: Ball, UU: Ball, k: int, j: int) -> Ball:
        lam = [Ball(*(self.strips.of(part, s) for part in self._parts())) for s in (k, j)]
        scaled = lam[0].reshape(-1, 1) * self.strips.block(UU, k, j) * lam[1].reshape(1, -1)
        return scaled + self.strips.block(AA, k, j)

    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        return self.lam.mid, self.lam.radius()


def _coefficients(t: float, lip: float, own: float) -> tuple[float, float]:
    """L/l − t and L/l − 1/t, rounded down."""
    ratio = Fraction(lip) / Fraction(own)
    return _below(ratio - Fraction(t)), _below(ratio - 1 / Fraction(t))


def _below(x: Fraction) -> float:
    rounded = float(x)
    return rounded if Fraction(rounded) <= x else math.nextafter(rounded, -math.inf)


def _root(psi: np.ndarray) -> Ball:
    root = np.sqrt(psi)
    return Ball(root, up(U * root))


def _state_norm(block: PaddedEquilibrium) -> UpperBound:
    """‖Γ^{1/2}WΓ^{−1/2}‖₂ ≤ max(1, ‖Σ‖) + 2 max Ψ ‖B‖ for W = I − Σ + skew in these coordinates, Σ ⪰ 0:
    ‖Σ‖ ≤ max Ψ (‖A‖² + m + ‖G‖²/(2l)) + ‖Ū‖²/(2l min Ψ)."""
    H, W = block.height, block.width
    B = covering(block.B.numpy(), H, W, "zero").norm().value
    A, U = (_roomy_norm(K.numpy(), H, W) for K in (block.A, block.U))
    G = spectral_norm(block.G.numpy()).value
    largest, smallest = (Fraction(float(p)) for p in (block.psi.max(), block.psi.min()))
    A, B, G, U, l2 = (Fraction(v) for v in (A, B, G, U, 2.0 * block.lip))
    symmetric = largest * (A**2 + Fraction(block.m) + G**2 / l2) + U**2 / (l2 * smallest)
    return UpperBound(math.nextafter(float(max(symmetric, 1) + 2 * largest * B), math.inf))


def _roomy_norm(K: np.ndarray, height: int, width: int) -> float:
    """‖K‖ with all the pixels that it reaches beyond the image on one side: a part of K with zeros around
    an image that has room for them."""
    kh, kw = K.shape[2:]
    return covering(K, height + kh // 2, width + kw // 2, "zero").norm().value
