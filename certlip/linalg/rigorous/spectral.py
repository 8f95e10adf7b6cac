"""Upper bounds of the spectral norm that are proven, never estimated.

‖A‖₂ ≤ τ if τ²I − AAᵀ ≻ 0, proven by verified Cholesky for the smallest τ that passes; the guess of
τ comes from an SVD and is not trusted. √(‖A‖₁‖A‖_∞) is the fall-back for sizes where the Gram
matrix would be too large, and the answer where it is smaller.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from certlip.linalg.rigorous.ball import Ball, as_ball, magnitude, mirrored
from certlip.linalg.rigorous.bounds import UpperBound
from certlip.linalg.rigorous.cholesky import is_positive_definite
from certlip.linalg.rigorous.rounding import TINY, norm_up, sum_up, up

LARGEST_GRAM = 8192  # above this order only the row-and-column-sum bound is tried


def spectral_norm(A: np.ndarray | Ball, *, slack: float = 1.0) -> UpperBound:
    """Proven upper bound of max ‖X‖₂ over the ball A (…, m, n).

    Args:
        A: Matrix, exact or with radius; finite. Of a batch of matrices, the bound holds for every one.
        slack: Factor ≥ 1 on every allowance for rounding.

    Raises:
        ValueError: not a matrix, an entry is not finite, or no double bounds the norm.
    """
    ball = as_ball(A)
    if ball.mid.ndim < 2:
        raise ValueError(f"spectral norm of an array of shape {ball.shape}: expected a matrix")
    size = magnitude(ball)
    if not np.isfinite(size).all():
        raise ValueError("spectral norm of a matrix with a non-finite entry")
    if not size.any():
        return UpperBound(0.0)
    # entries of about 1, by a power of two: squares far from overflow and underflow
    exponent = min(max(math.frexp(float(size.max()))[1], -1000), 1000)
    bound = _scaled_norm(_times_power(ball, -exponent), slack)
    return UpperBound(_times_power_up(bound, exponent))


def _scaled_norm(ball: Ball, slack: float) -> float:
    size = magnitude(ball)
    product = UpperBound(_largest_sum(size, axis=-1)) * UpperBound(_largest_sum(size, axis=-2))
    best = min(_sqrt_up(product.value), _frobenius(size))
    if min(ball.shape[-2:]) > LARGEST_GRAM:
        return best
    # ‖X‖ ≤ ‖mid‖ + ‖R‖_F
    extra = 0.0 if ball.rad is None else _frobenius(ball.rad)
    mid = ball.mid if ball.shape[-2] <= ball.shape[-1] else ball.mid.swapaxes(-1, -2)
    tau = _gram_bound(mid, slack)
    if tau is not None:
        best = min(best, math.nextafter(tau + extra, math.inf) if extra else tau)
    return best


def _frobenius(size: np.ndarray) -> float:
    """Upper bound of the largest Frobenius norm of the matrices."""
    return float(norm_up(size.reshape(-1, size.shape[-2] * size.shape[-1])).max())


def _times_power(ball: Ball, exponent: int) -> Ball:
    """The ball times 2^exponent: exact unless an entry underflows, which the radius then covers."""
    mid = np.ldexp(ball.mid, exponent)
    exact = np.array_equal(np.ldexp(mid, -exponent), ball.mid)
    if ball.rad is None and exact:
        return Ball(mid)
    return Ball(mid, up(np.ldexp(ball.radius(), exponent)) + TINY)


def _times_power_up(bound: float, exponent: int) -> float:
    """bound · 2^exponent, rounded up."""
    try:
        product = math.ldexp(bound, exponent)
    except OverflowError:
        raise ValueError(f"spectral norm of about {bound:.3g}·2^{exponent} overflows") from None
    exact = Fraction(bound) * Fraction(2) ** exponent
    return product if Fraction(product) >= exact else math.nextafter(product, math.inf)


def _largest_sum(size: np.ndarray, axis: int) -> float:
    """Upper bound of the largest row or column sum; exact where a line has one entry, so that the
    norm of a truncation or of zero padding comes out as exactly 1."""
    single = np.count_nonzero(size, axis=axis) <= 1
    return float(np.where(single, size.max(axis=axis), sum_up(size, axis=axis)).max())


def _sqrt_up(x: float) -> float:
    root = math.sqrt(x)
    return root if Fraction(root) ** 2 >= Fraction(x) else math.nextafter(root, math.inf)


def _gram_bound(A: np.ndarray, slack: float) -> float | None:
    """The smallest τ of a short ladder with τ²I − AAᵀ ≻ 0 proven, for A (…, m, n), m ≤ n."""
    try:
        guess = float(np.linalg.svd(A, compute_uv=False).max())
    except np.linalg.LinAlgError:
        return None
    if not 0.0 < guess < math.inf:
        return None
    gram = mirrored(Ball(A) @ Ball(A).T)
    eye = np.eye(A.shape[-2])
    for exponent in range(-15, -2):
        tau = guess * (1.0 + 10.0**exponent)
        square = math.nextafter(tau * tau, 0.0)
        if is_positive_definite(Ball(square * eye) - gram, slack=slack):
            return tau
    return None
