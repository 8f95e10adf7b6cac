"""MonDEQ (5) with an output map G: Λ = (‖G‖/‖U‖)I, L = ‖U‖‖G‖/m; (3) with Γ = I and margin m.

A proven norm of 0 (a constant map) is replaced by a small positive bound, which is one as well.
Left side of (10): 2(‖G‖/‖U‖)(mI + AᵀA) − GᵀG/L − (‖G‖/‖U‖)²UUᵀ/L ⪰ 0, as GᵀG ⪯ ‖G‖²I, UUᵀ ⪯ ‖U‖²I.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import Equilibrium
from certlip.errors import InputError
from certlip.linalg.rigorous import spectral_norm
from certlip.lmi.analytic.base import Multipliers

SMALLEST_NORM = 2.0**-20


def mondeq(block: Equilibrium) -> Multipliers:
    """Needs `m` > 0 in the origin. Norms are proven upper bounds."""
    assert block.origin is not None
    m = block.origin.scalars["m"]
    if not 0.0 < m < np.inf:
        raise InputError(f"origin 'mondeq' with m = {m}: expected a positive finite number")
    norm_U = spectral_norm(block.U.numpy()).value or SMALLEST_NORM
    norm_G = spectral_norm(block.G.numpy()).value or SMALLEST_NORM
    ones = np.ones(block.n)
    return Multipliers(ones, (norm_G / norm_U) * ones, norm_U * norm_G / m, "mondeq")
