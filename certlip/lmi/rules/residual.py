"""The rule of x − 2WDσ(Wᵀx + b), D = T⁻¹ ≥ 0.

With Δv = WᵀΔx, Δs the change of σ:  ‖Δy‖² = ‖Δx‖² − 4ΔvᵀDΔs + 4ΔsᵀDWᵀWDΔs, and slopes in [0, 1]
give ΔvᵀDΔs ≥ ΔsᵀDΔs. If DWᵀWD ⪯ (1 + δ)D, then ‖Δy‖² ≤ ‖Δx‖² + 4δΔsᵀDΔs and ΔsᵀDΔs ≤ (1 + δ)‖Δx‖²:
the bound is L² = 1 + 4δ(1 + δ), and 1 for δ = 0 (Araujo et al., 2023, Theorem 1). Coordinates with
D_ii = 0 never act.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from certlip.blocks import Residual
from certlip.errors import InconclusiveError, RejectedError
from certlip.linalg.rigorous import UpperBound, is_positive_definite, negative_direction
from certlip.linalg.rigorous.ball import Ball, mirrored
from certlip.lmi.proof import ResidualProof
from certlip.lmi.slack import SLACK

DELTAS = (0.0, *(10.0**e for e in range(-15, 0)), 0.3, 1.0, 3.0, 10.0, 100.0)


def prove_residual(block: Residual) -> ResidualProof:
    """The smallest δ of a ladder that is proven on the stored W and D.

    Raises:
        RejectedError: even the largest δ is refuted. InconclusiveError: neither proven nor refuted.
    """
    start = time.perf_counter()
    live = (block.D > 0).numpy()
    W, D = block.W.numpy()[:, live], block.D.numpy()[live]
    WW = mirrored(Ball(W.T) @ Ball(W)) if W.shape[1] else None

    def matrix(delta: float) -> Ball:
        """(1 + δ)D − DWᵀWD."""
        assert WW is not None
        scaled = (Ball(D[:, None]) * WW) * Ball(D[None, :])
        bound = Ball(D) * (Ball(np.ones(1)) + delta)
        return mirrored(Ball(np.diag(bound.mid), np.diag(bound.radius())) - scaled)

    def holds(delta: float) -> bool:
        return WW is None or is_positive_definite(matrix(delta), slack=SLACK)

    for rung, found in enumerate(DELTAS):
        if holds(found):
            delta = _refined(DELTAS[max(rung - 1, 0)], found, holds)
            return ResidualProof(
                "residual",
                _lipschitz(delta),
                1.0,
                time.perf_counter() - start,
                condition="D WᵀW D ⪯ D" if delta == 0.0 else f"D WᵀW D ⪯ (1 + {delta:g})D",
                method="analytic",
                delta=delta,
            )
    if negative_direction(matrix(DELTAS[-1])) is not None:
        raise RejectedError(f"D WᵀW D ⪯ {1 + DELTAS[-1]:g}·D does not hold: D is far too large")
    raise InconclusiveError("D WᵀW D ⪯ D is neither proven nor refuted in double precision")


def _refined(low: float, high: float, holds: Callable[[float], bool]) -> float:
    """A smaller proven δ between two rungs, where it matters: to 0.1 % of the rule's best L."""
    while high - low > 1e-3 * (low + 1e-3):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _lipschitz(delta: float) -> UpperBound:
    """√(1 + 4δ(1 + δ)), rounded up."""
    exact = 1 + 4 * Fraction(delta) * (1 + Fraction(delta))
    root = math.sqrt(float(exact))
    while Fraction(root) ** 2 < exact:
        root = math.nextafter(root, math.inf)
    return UpperBound(root)
