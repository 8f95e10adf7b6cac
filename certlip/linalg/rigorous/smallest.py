"""Lower bounds of the smallest singular value that are proven, never estimated.

σ_min(A) ≥ s for A (m, n), m ≤ n, if AAᵀ − s²I ≻ 0, proven by verified Cholesky; the guess of s comes
from an SVD and is not trusted.
"""

from __future__ import annotations

import math

import numpy as np

from certlip.linalg.rigorous.ball import Ball, as_ball, magnitude, mirrored
from certlip.linalg.rigorous.bounds import LowerBound
from certlip.linalg.rigorous.cholesky import is_positive_definite
from certlip.linalg.rigorous.spectral import LARGEST_GRAM

#: How far below its guess the square of a bound is tried.
BELOW = 2.0**-15


def smallest_singular_value(A: np.ndarray | Ball, *, slack: float = 1.0) -> LowerBound:
    """Proven lower bound of ‖Aᵀv‖/‖v‖ over all v, for every matrix in the ball A (m, n).

    0, if A has more rows than columns, or is too near to one of less than full row rank.

    Args:
        A: Matrix, exact or with radius.
        slack: Factor ≥ 1 on every allowance for rounding.
    """
    ball = as_ball(A)
    size = magnitude(ball)
    if ball.shape[0] > min(ball.shape[1], LARGEST_GRAM) or not np.isfinite(size).all():
        return LowerBound(0.0)
    # far from overflow and underflow, or nothing is claimed
    if not 2.0**-400 <= float(size.max()) <= 2.0**400:
        return LowerBound(0.0)
    try:
        guess = float(np.linalg.svd(ball.mid, compute_uv=False).min())
    except np.linalg.LinAlgError:
        return LowerBound(0.0)
    s = guess * math.sqrt(1.0 - BELOW)
    square = math.nextafter(s * s, math.inf)
    gram = mirrored(ball @ ball.T)
    shifted = gram - Ball(square * np.eye(len(gram.mid)))
    return LowerBound(s if s > 0.0 and is_positive_definite(shifted, slack=slack) else 0.0)
