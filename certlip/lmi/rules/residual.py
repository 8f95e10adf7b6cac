"""The rule of x − 2WDσ(Wᵀx + b), D = T⁻¹ ≥ 0.

With Δv = WᵀΔx, Δs the change of σ:  ‖Δy‖² = ‖Δx‖² − 4ΔvᵀDΔs + 4ΔsᵀDWᵀWDΔs, and slopes in [0, 1]
give ΔvᵀDΔs ≥ ΔsᵀDΔs. If DWᵀWD ⪯ (1 + δ)D, then ‖Δy‖² ≤ ‖Δx‖² + 4δΔsᵀDΔs and ΔsᵀDΔs ≤ (1 + δ)‖Δx‖²:
the bound is L² = 1 + 4δ(1 + δ), and 1 for δ = 0 (Araujo et al., 2023, Theorem 1). Coordinates with
D_ii = 0 never act.

With a kernel, K in place of Wᵀ, D is constant per channel and the inequality is one per frequency of the
torus. With zero padding K_z = RKE, with E the continuation by zeros to a torus where nothing wraps and R
the restriction to the image, so that D K_zK_zᵀ D ⪯ R(D KKᵀ D)Rᵀ ⪯ (1 + δ)D follows as well.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np

from certlip.blocks import ConvResidual, Residual
from certlip.errors import InconclusiveError, RejectedError
from certlip.linalg.rigorous import UpperBound, is_positive_definite, negative_direction
from certlip.linalg.rigorous.ball import Ball, diagonal, mirrored
from certlip.linalg.rigorous.frequencies import covering
from certlip.lmi.proof import ResidualProof
from certlip.lmi.slack import SLACK

DELTAS = (0.0, *(10.0**e for e in range(-15, 0)), 0.3, 1.0, 3.0, 10.0, 100.0)


def prove_residual(block: Residual | ConvResidual) -> ResidualProof:
    """The smallest δ of a ladder that is proven on the stored W and D.

    Raises:
        RejectedError: even the largest δ is refuted. InconclusiveError: neither proven nor refuted.
    """
    start = time.perf_counter()
    live = (block.D > 0).numpy()
    D = block.D.numpy()[live]
    grams = _grams(block, live) if len(D) else []
    left = "D WᵀW D" if isinstance(block, Residual) else "D KKᵀ D"

    def matrix(gram: Ball, delta: float) -> Ball:
        """(1 + δ)D − DWᵀWD, for WᵀW or a batch of real forms of KKᵀ."""
        own = np.tile(D, gram.shape[-1] // len(D))
        scaled = (Ball(own[:, None]) * gram) * Ball(own[None, :])
        bound = Ball(own) * (Ball(np.ones(1)) + delta)
        return mirrored(diagonal(bound) - scaled)

    def holds(delta: float) -> bool:
        return all(is_positive_definite(matrix(gram, delta), slack=SLACK) for gram in grams)

    for rung, found in enumerate(DELTAS):
        if holds(found):
            delta = _refined(DELTAS[max(rung - 1, 0)], found, holds)
            return ResidualProof(
                block.kind,
                _lipschitz(delta),
                1.0,
                time.perf_counter() - start,
                condition=f"{left} ⪯ D" if delta == 0.0 else f"{left} ⪯ (1 + {delta!r})D",
                method="analytic",
                delta=delta,
            )
    if any(negative_direction(matrix(gram, DELTAS[-1])) is not None for gram in grams):
        raise RejectedError(f"{left} ⪯ {1 + DELTAS[-1]:g}·D does not hold: D is far too large")
    raise InconclusiveError(f"{left} ⪯ D is neither proven nor refuted in double precision")


def _grams(block: Residual | ConvResidual, live: np.ndarray) -> Iterable[Ball]:
    """WᵀW, or the real forms of KKᵀ at all frequencies, of the coordinates or channels that act."""
    if isinstance(block, Residual):
        W = Ball(block.W.numpy()[:, live])
        return [mirrored(W.T @ W)]
    spectrum = covering(block.K.numpy()[live], block.height, block.width, block.padding)
    return [mirrored(K @ K.T) for K in spectrum.chunks()]


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
