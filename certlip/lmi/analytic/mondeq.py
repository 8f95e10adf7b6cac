"""MonDEQ (5) with an output map G: Λ = (‖G‖/‖U‖)I, L = ‖U‖‖G‖/m; (3) with Γ = I and margin m.

A proven norm of 0 (a constant map) is replaced by a small positive bound, which is one as well.
Left side of (10): 2(‖G‖/‖U‖)(mI + AᵀA) − GᵀG/L − (‖G‖/‖U‖)²UUᵀ/L ⪰ 0, as GᵀG ⪯ ‖G‖²I, UUᵀ ⪯ ‖U‖²I.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import ConvEquilibrium, Equilibrium
from certlip.lmi.analytic.base import Multipliers
from certlip.lmi.analytic.g_mondeq import monotone_multipliers


def mondeq(block: Equilibrium | ConvEquilibrium) -> Multipliers:
    """Needs `m` > 0 in the origin."""
    assert block.origin is not None
    return monotone_multipliers(block, block.origin.scalars["m"], np.ones(block.n), "mondeq")
