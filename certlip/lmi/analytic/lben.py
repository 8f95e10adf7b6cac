"""LBEN (7): Λ = Γ = Ψ⁻¹, L as prescribed. The left side of (4) is 2VᵀV + 2εI."""

from __future__ import annotations

import numpy as np

from certlip.blocks import ConvEquilibrium, Equilibrium
from certlip.lmi.analytic.base import Multipliers


def lben(block: Equilibrium | ConvEquilibrium) -> Multipliers:
    """Needs `psi` (n,) and `lip` in the origin."""
    assert block.origin is not None
    with np.errstate(divide="ignore", over="ignore"):  # an infinite λ is refused by its name
        lam = 1.0 / block.origin.vectors["psi"].double().numpy()
    return Multipliers(lam, lam, block.origin.scalars["lip"], "lben")
