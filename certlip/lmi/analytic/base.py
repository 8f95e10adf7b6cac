"""Multipliers and a Lipschitz bound that a family claims for a block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Multipliers:
    """Diagonals of Γ for (3) and Λ for (10), (n,), the L they are claimed to prove, and who says so."""

    gam: np.ndarray
    lam: np.ndarray
    lip: float
    family: str
    method: str = "analytic"
    solver: str | None = None

    @property
    def source(self) -> str:
        return self.family if self.solver is None else self.solver
