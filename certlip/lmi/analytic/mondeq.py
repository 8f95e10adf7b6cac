"""MonDEQ (5) with an output map G: Λ = (‖G‖/‖U‖)I, L = ‖U‖‖G‖/m; (3) with Γ = I and margin m.

Left side of (10): 2(‖G‖/‖U‖)(mI + AᵀA) − GᵀG/L − (‖G‖/‖U‖)²UUᵀ/L ⪰ 0, as GᵀG ⪯ ‖G‖²I, UUᵀ ⪯ ‖U‖²I.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import Equilibrium
from certlip.linalg.rigorous import spectral_norm
from certlip.lmi.analytic.base import Multipliers


def mondeq(block: Equilibrium) -> Multipliers:
    """Needs `m` > 0 in the origin. Norms are proven upper bounds."""
    assert block.origin is not None
    norm_U = spectral_norm(block.U.numpy()).value
    norm_G = spectral_norm(block.G.numpy()).value
    ones = np.ones(block.n)
    lip = norm_U * norm_G / block.origin.scalars["m"]
    return Multipliers(ones, (norm_G / norm_U) * ones if norm_U else ones, lip, "mondeq")
