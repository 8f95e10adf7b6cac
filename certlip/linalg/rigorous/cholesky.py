"""Proof that a symmetric matrix known up to a radius is positive definite: verified Cholesky.

If Cholesky's method on S̃, with the off-diagonal of S and S̃_ii ≤ S_ii − c − r, runs to the end
with a finite factor and a positive diagonal, then every symmetric X with |X − S| ≤ R is positive
definite: the backward error is at most c ≥ k·u/(1 − 2ku)·tr(S) + 8n(n + 1 + max S_ii)η, and
‖X − S‖₂ ≤ r.
Source: S. M. Rump, Verification of positive definiteness, BIT 46 (2006); k = n + 3 leaves room for
libraries that multiply by rounded reciprocals of the pivots.
"""

from __future__ import annotations

import math

import numpy as np

from certlip.linalg.rigorous.ball import Ball, norm2_of_radius
from certlip.linalg.rigorous.rounding import TINY, U, down, sum_up, up


@np.errstate(over="ignore", invalid="ignore")
def is_positive_definite(ball: Ball, *, slack: float = 1.0) -> bool:
    """True only if every symmetric matrix in the ball is positive definite. False says nothing.

    Args:
        ball: (…, n, n), midpoint and radius exactly symmetric; of a batch every matrix is proven.
        slack: Factor ≥ 1 on every allowance for rounding. A producer that proves with slack 2
            leaves room for a checker that rounds in another order.

    Raises:
        ValueError: slack below 1, or a ball that is not of square matrices.
    """
    if not 1.0 <= slack < math.inf:
        raise ValueError(f"slack = {slack}: expected a finite number ≥ 1")
    S, R = ball.mid, ball.radius()
    if S.ndim < 2 or S.shape[-1] != S.shape[-2]:
        raise ValueError(f"a matrix of shape {S.shape}: expected a square one")
    if S.size == 0:
        return True
    if not (np.isfinite(S).all() and np.isfinite(R).all() and (R >= 0.0).all()):
        return False
    if not (_symmetric(S) and _symmetric(R) and (_diagonal(S) > 0.0).all()):
        return False
    # either proof is enough: balancing keeps small multipliers from being lost to the trace in c, but
    # blows up errors that a tiny diagonal entry shares with a nearly singular remainder
    return _shifted_cholesky(*_balanced(S, R), slack) or _shifted_cholesky(S, R, slack)


def _symmetric(A: np.ndarray) -> bool:
    return np.array_equal(A, A.swapaxes(-1, -2))


def _diagonal(A: np.ndarray) -> np.ndarray:
    """The diagonal of each matrix, (…, n)."""
    return np.diagonal(A, axis1=-2, axis2=-1)


def _shifted_cholesky(S: np.ndarray, R: np.ndarray, slack: float) -> bool:
    """Whether Cholesky of each S̃ ends with a finite factor with positive diagonal."""
    n = S.shape[-1]
    diagonal = _diagonal(S)
    if not (np.isfinite(S).all() and np.isfinite(R).all() and (diagonal > 0.0).all()):
        return False
    k = n + 3
    trace = sum_up(diagonal)
    relative = math.nextafter(k * U / math.nextafter(1.0 - 2 * k * U, 0.0), math.inf)
    underflow = 16.0 * n * (n + 2.0 + diagonal.max(axis=-1)) * TINY
    c = np.nextafter(relative * trace, np.inf) + underflow
    shift = slack * np.nextafter(np.nextafter(c, np.inf) + norm2_of_radius(R), np.inf)
    shifted = S.copy()
    i = np.arange(n)
    shifted[..., i, i] = down(diagonal - np.nextafter(shift, np.inf)[..., None])
    try:
        factor = np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        return False
    # NumPy's Cholesky completes on NaN and on Inf: completion alone proves nothing
    return bool(np.isfinite(factor).all() and (_diagonal(factor) > 0.0).all())


def _balanced(S: np.ndarray, R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The congruence DSD by powers of two with diagonal in [1/2, 2]: exact, and definite iff S is.

    Multipliers of very different size would otherwise lose the small ones to the trace in c.
    """
    exponent = np.clip(-np.round(np.log2(_diagonal(S)) / 2.0), -400.0, 400.0)
    D = np.ldexp(1.0, exponent.astype(np.int32))  # exact, as exp2 need not be
    scale = D[..., :, None] * D[..., None, :]
    # exact unless a product is subnormal: TINY covers that
    return S * scale, up(R * scale) + TINY


@np.errstate(over="ignore", invalid="ignore")
def negative_direction(ball: Ball) -> tuple[np.ndarray, float] | None:
    """A vector x and a proven upper bound of xᵀXx < 0 for every X in the ball: refutes X ⪰ 0.

    Of a batch (…, n, n) the matrix with the smallest eigenvalue is tried. `None` if none was found, which
    says nothing.
    """
    if ball.mid.size == 0 or not np.isfinite(ball.mid).all():
        return None
    try:
        if ball.mid.ndim > 2:
            ball = ball.reshape(-1, *ball.shape[-2:])
            ball = ball[int(np.linalg.eigvalsh(ball.mid)[:, 0].argmin())]
        _, vectors = np.linalg.eigh(ball.mid)
    except np.linalg.LinAlgError:
        return None
    x = vectors[:, 0]
    form = Ball(x[None, :]) @ ball @ Ball(x[:, None])
    largest = float(form.mid[0, 0]) + float(form.radius()[0, 0])
    largest = math.nextafter(largest, math.inf)
    return (x, largest) if largest < 0.0 else None
