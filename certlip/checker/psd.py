"""Matrix inequalities, proven by a Cholesky factorization that has to pay for all its errors."""

from fractions import Fraction
from math import fsum

import numpy as np

from certlip.checker.rounding import UNIT, Array, dot, gamma, norm, over, total, up


def is_positive_definite(S: Array, R: Array) -> bool:
    """Prove that every symmetric X with |X − S| ≤ R entrywise (lower triangles) is ≻ 0.

    A congruence X → DXD by powers of two is exact. One brings the diagonal near 1, so that a badly
    scaled X does not drown in the trace term; one uses a common factor. Either proof is enough.
    """
    if S.size == 0:
        return True
    bounded = np.isfinite(S) & np.isfinite(R) & (R >= 0.0)
    if not (bounded.all() and (np.diag(S) > 0.0).all()):
        return False
    half = -(np.frexp(np.diag(S))[1] // 2)  # 4^half S_ii is in [1/2, 2)
    with np.errstate(all="ignore"):  # what overflows is infinite and fails below
        powers = [k[:, None] + k for k in (half, np.full_like(half, half.min()))]
        return any(_shifted_cholesky(np.ldexp(S, k), np.ldexp(R, k)) for k in powers)


def _shifted_cholesky(S: Array, R: Array) -> bool:
    """The verified Cholesky itself (Rump, BIT 46, 2006), for S_ii < 2.

    If Cholesky of S̃ ends with a finite factor of positive diagonal, then λ_min(S̃) > −c with
    c = ku/(1 − 2ku) tr S + 8n(n + 1 + max S_ii)2⁻¹⁰⁷⁴; k = n + 1 with true divisions, n + 2 with
    reciprocal pivots, n + 3 here. With r ≥ ‖R‖₂ and S̃_ii ≤ S_ii − c − r, X ⪰ S − rI ⪰ S̃ + cI ≻ 0.
    Completion alone proves nothing: LAPACK completes on NaN and reads one triangle.
    """
    S = np.tril(S) + np.tril(S, -1).T  # one triangle decides, for S and for R
    R = over(np.tril(R) + np.tril(R, -1).T, 1)  # TINY covers the scaling of S and R as well
    k = len(S) + 3
    quotient = np.nextafter(k * UNIT / (1.0 - 2.0 * k * UNIT), np.inf)
    c = over(quotient * total(np.diag(S)), 1)  # TINY exceeds the last term
    diagonal = np.nextafter(np.diag(S) - over(c + total(R).max(), 1), -np.inf)
    if not (np.isfinite(S).all() and (diagonal > 0.0).all()):
        return False
    np.fill_diagonal(S, diagonal)
    try:
        factor = np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(factor).all() and (np.diag(factor) > 0.0).all())


def norm_at_most(A: Array, tau: float) -> bool:
    """Prove ‖A‖₂ ≤ τ: by a closed bound, or by τ²I − AAᵀ ≻ 0 on the smaller side."""
    if _norm_squared(A) <= Fraction(tau) ** 2:
        return True
    P, error = dot(*[A if len(A) <= A.shape[1] else A.T] * 2)
    square = np.diag(np.full(len(P), tau * tau))
    S = square - P
    return is_positive_definite(S, over(error + UNIT * (2.0 * square + np.abs(S)), 3))


def norm_upper(A: Array) -> float:
    """A proven upper bound of ‖A‖₂, within 10⁻⁶ of it unless the proof has to fall back."""
    guess = float(np.linalg.norm(A, 2)) * (1.0 + 2.0**-20)
    proven = guess < np.inf and norm_at_most(A, guess)
    return guess if proven else float(over(np.sqrt(up(_norm_squared(A))), 1))


def _norm_squared(A: Array) -> Fraction:
    """min(‖A‖₁‖A‖_∞, ‖A‖_F²), bounded so sharply that a truncation has norm exactly 1."""
    rows, columns = (  # a sum that is rounded once, or exact if a line has one entry
        max(fsum(x.tolist()) if np.count_nonzero(x) < 2 else up(fsum(x.tolist())) for x in lines)
        for lines in (np.abs(A), np.abs(A.T))
    )
    return min(Fraction(rows) * Fraction(columns), Fraction(float(norm(A.ravel()))) ** 2)


def condition_3(W: Array, gam: Array, mu: float) -> bool:
    """Prove (3): 2Γ − ΓW − WᵀΓ ⪰ 2μΓ. Each term takes one rounding, their sum three."""
    H, two, shift = gam[:, None] * W, np.diag(2.0 * gam), np.diag(2.0 * mu * gam)
    S = two - shift - H - H.T
    return is_positive_definite(S, over(gamma(4) * (two + shift + np.abs(H) + np.abs(H.T)), 5))


def condition_10(W: Array, U: Array, G: Array, lam: Array, lip: float) -> bool:
    """Prove (10): 2Λ − ΛW − WᵀΛ − GᵀG/L − ΛUUᵀΛ/L ⪰ 0.

    The products carry their own radii; the other terms take at most three roundings and their sum
    four. λ and L are moderate, so no scale below can underflow or overflow.
    """
    (P, P_error), (Q, Q_error) = dot(G.T, G.T), dot(U, U)
    H, two, scale = lam[:, None] * W, np.diag(2.0 * lam), np.outer(lam, lam) / lip
    P, Q = P / lip, Q * scale
    S = two - H - H.T - P - Q
    magnitude = two + np.abs(H) + np.abs(H.T) + np.abs(P) + np.abs(Q)
    return is_positive_definite(S, over(gamma(7) * magnitude + P_error / lip + Q_error * scale, 10))


def condition_residual(W: Array, D: Array, delta: float) -> bool:
    """Prove D WᵀW D ⪯ (1 + δ)D where D > 0: ‖W D^½‖² ≤ 1 + δ, in the smaller of two matrices.

    These are (1 + δ)D⁻¹ − WᵀW ⪰ 0 and (1 + δ)I − W D Wᵀ ⪰ 0.
    """
    W, D = W[:, D > 0.0], D[D > 0.0]
    if len(D) <= len(W):
        (P, error), bound = dot(W.T, W.T), np.diag((1.0 + delta) / D)
    else:
        P, error = dot(W * D, W, radius=over(UNIT * np.abs(W * D), 1))
        bound = np.diag(np.full(len(W), 1.0 + delta))
    S = bound - P
    return is_positive_definite(S, over(error + UNIT * (3.0 * bound + np.abs(S)), 3))
