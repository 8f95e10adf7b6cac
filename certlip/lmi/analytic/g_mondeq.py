"""G-MonDEQ (6) with an output map G: Λ = (‖G‖/s)Φ⁻¹, L = s‖G‖/m, s = ‖Φ⁻¹U‖; (3) with Γ = Φ⁻¹ and margin m·min Φ.

Left side of (10): 2(‖G‖/s)(mI + AᵀA) − GᵀG/L − (‖G‖/s)²Φ⁻¹UUᵀΦ⁻¹/L ⪰ 0. MonDEQ is Φ = I.
"""

from __future__ import annotations

from certlip.blocks import Equilibrium
from certlip.linalg.rigorous import spectral_norm
from certlip.lmi.analytic.base import Multipliers


def g_mondeq(block: Equilibrium) -> Multipliers:
    """Needs `m` > 0 and `phi` (n,) in the origin. Norms are proven upper bounds."""
    assert block.origin is not None
    inverse = 1.0 / block.origin.vectors["phi"].double().numpy()
    s = spectral_norm(inverse[:, None] * block.U.numpy()).value
    norm_G = spectral_norm(block.G.numpy()).value
    lip = s * norm_G / block.origin.scalars["m"]
    return Multipliers(inverse, (norm_G / s) * inverse if s else inverse, lip, "g-mondeq")
