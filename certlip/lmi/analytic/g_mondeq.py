"""G-MonDEQ (6) with an output map G: Λ = (‖G‖/s)Φ⁻¹, L = s‖G‖/m, s = ‖Φ⁻¹U‖; (3) with Γ = Φ⁻¹ and
margin m·min Φ.

Left side of (10): 2(‖G‖/s)(mI + AᵀA) − GᵀG/L − (‖G‖/s)²Φ⁻¹UUᵀΦ⁻¹/L ⪰ 0. MonDEQ is Φ = I.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import ConvEquilibrium, Equilibrium
from certlip.errors import InputError
from certlip.linalg.rigorous import UpperBound, spectral_norm
from certlip.linalg.rigorous.frequencies import Spectrum
from certlip.lmi.analytic.base import Multipliers

SMALLEST_NORM = 2.0**-20  # in place of a proven norm of 0 (a constant map), which it bounds as well


def g_mondeq(block: Equilibrium | ConvEquilibrium) -> Multipliers:
    """Needs `m` > 0 and `phi` (n,) > 0 in the origin. Norms are proven upper bounds."""
    assert block.origin is not None
    phi = block.origin.vectors["phi"].numpy()
    with np.errstate(divide="ignore", over="ignore"):
        inverse = 1.0 / phi
    if phi.shape != (block.n,) or not ((phi > 0) & np.isfinite(inverse)).all():
        raise InputError(f"origin 'g-mondeq' with phi that is not {block.n} positive numbers")
    return monotone_multipliers(block, block.origin.scalars["m"], inverse, "g-mondeq")


def monotone_multipliers(
    block: Equilibrium | ConvEquilibrium, m: float, inverse: np.ndarray, family: str
) -> Multipliers:
    """Γ = Φ⁻¹, Λ = (‖G‖/s)Φ⁻¹ and L = s‖G‖/m for `inverse` the diagonal of Φ⁻¹, (n,) > 0."""
    if not 0.0 < m < np.inf:
        raise InputError(f"origin {family!r} with m = {m}: expected a positive finite number")
    U = block.U.numpy()
    rows = inverse.reshape(-1, *[1] * (U.ndim - 1))
    s = _norm(block, rows * U).value or SMALLEST_NORM
    norm_G = _norm(block, block.G.numpy()).value or SMALLEST_NORM
    return Multipliers(inverse, (norm_G / s) * inverse, s * norm_G / m, family)


def _norm(block: Equilibrium | ConvEquilibrium, weights: np.ndarray) -> UpperBound:
    """The norm of a matrix, or of a kernel on the torus of the block."""
    if isinstance(block, Equilibrium):
        return spectral_norm(weights)
    return Spectrum(weights, block.height, block.width).norm()
