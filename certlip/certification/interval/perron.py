"""A positive v with |W|v ≤ θv, θ < 1: the proof that the spectral radius of |W| is below 1.

v = (I − |W|/s)⁻¹1 = Σ_k (|W|/s)ᵏ1 ≥ 1 for s above the spectral radius, and then |W|v = s(v − 1) < sv. What
was computed for v is only a guess; θ is the largest quotient of |W|v, rounded up, and v.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certlip.linalg.rigorous.rounding import TINY, gamma, up

#: How far v may reach beyond what a box needs.
SPARE = 1.0 + 2.0**-10


@dataclass(frozen=True)
class Perron:
    """v (n,) > 0, finite, and θ < 1, proven."""

    v: np.ndarray
    theta: float

    @classmethod
    @np.errstate(all="ignore")
    def of(cls, S: np.ndarray) -> Perron | None:
        """For a matrix S ≥ 0 (n, n); None where no v passes, as where its spectral radius is 1 or more."""
        if not np.isfinite(S).all() or (S < 0.0).any():
            return None
        try:
            radius = float(np.abs(np.linalg.eigvals(S)).max())
            v = np.linalg.solve(np.eye(len(S)) - S / (0.5 * (1.0 + radius)), np.ones(len(S)))
        except np.linalg.LinAlgError:
            return None
        v = v / v.max()
        Sv = up((S @ v) * (1.0 + 2.0 * gamma(len(S) + 2))) + TINY
        theta = float(up(Sv / v).max())
        passes = np.isfinite(v).all() and (v > 0.0).all() and theta < 1.0  # NaN passes nowhere
        return cls(v, theta) if passes else None

    def spread(self, pixels: int) -> Perron:
        """v for all pixels of channels."""
        return Perron(np.repeat(self.v, pixels), self.theta)

    def multiple(self, over: np.ndarray) -> np.ndarray:
        """τ (batch,) for which (1 − θ)τv exceeds what a box falls short by, `over` (batch, n): a guess."""
        short = (np.maximum(over, 0.0) / self.v).max(axis=1)
        return SPARE * short / (1.0 - self.theta)
