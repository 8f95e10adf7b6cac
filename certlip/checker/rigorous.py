"""Outward rounding, and matrix inequalities by a Cholesky factorization that pays for its errors.

With u = 2⁻⁵³, k roundings multiply a nonnegative term by at least (1 − u)ᵏ, and a sum of k products
in any order is within γ_k Σ|terms|, γ_k = ku/(1 − ku) (Higham, Accuracy and Stability, ch. 3).
Underflow adds at most 2⁻¹⁰⁷⁴ per operation: every bound carries TINY = 2⁻⁸⁰⁰, which dominates that
and keeps slow denormals out of BLAS. NaN and infinity stay, and fail the comparison they reach.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
UNIT, TINY, ONE = 2.0**-53, 2.0**-800, np.ones(1)


def gamma(k: int) -> float:
    """Upper bound of γ_k; 1 − ku is exact, so the quotient is the only rounding."""
    return float(np.nextafter(k * UNIT / (1.0 - k * UNIT), np.inf))


def over(x, k):
    """Upper bound of a sum, product, quotient or root ≥ 0 that took at most k < 2⁴⁰ roundings.

    1 + mu, even m > k + 3 + k²u, is exact, and (1 + mu)(1 − u)² ≥ 1 + ku + (ku)² ≥ 1/(1 − u)ᵏ.
    """
    return x * (1.0 + (k + 5 + k * k * UNIT) // 2 * 2.0 * UNIT) + TINY


def total(x: Array) -> Array:
    """Upper bound of sums of nonnegative entries along the last axis, exact if only one is not 0."""
    sums, terms = x.sum(axis=-1), np.count_nonzero(x, axis=-1)
    return np.where(terms < 2, sums, over(sums, terms))


def norm(x: Array) -> Array:
    """Upper bound of ‖x‖₂ along the last axis; TINY under the root covers underflow of squares."""
    return over(np.sqrt(over(total(x * x), 1)), 1)


def dot(x: Array, W: Array, radius: Array, blur: Array | float = 0.0) -> tuple[Array, Array]:
    """v, r with |v − x'W'ᵀ| ≤ r for |x' − x| ≤ radius, |W' − W| ≤ blur; also of stacks."""
    k, WT = W.shape[-1], W.swapaxes(-1, -2)
    with np.errstate(all="ignore"):  # a BLAS may raise flags on padding; values decide
        error = over(gamma(k) * np.abs(x) + radius, 2) @ np.abs(WT)
        if np.any(blur):
            error = error + over(np.abs(x) + radius, 1) @ np.swapaxes(blur, -1, -2)
        return x @ WT, over(error, k + 2)


class Ball(NamedTuple):
    """All matrices within R ≥ 0 of S, entry by entry; a stack (…, m, n) of which all are meant."""

    S: Array
    R: Array

    @property
    def T(self) -> "Ball":
        """The transposes."""
        return Ball(self.S.swapaxes(-1, -2), self.R.swapaxes(-1, -2))

    def gram(self) -> "Ball":
        """AAᵀ."""
        return Ball(*dot(self.S, self.S, self.R, self.R))

    def scaled(self, left: Array = ONE, right: Array = ONE) -> "Ball":
        """diag(left) A diag(right) for factors within two roundings, repeated for a real form."""
        rows, columns = map(np.resize, (left, right), self.S.shape[-2:])
        S, R = (rows[:, None] * X * columns for X in self)
        return Ball(S, over(R + gamma(6) * np.abs(S), 8))

    def lines(self) -> list:
        """Upper bounds of ‖A‖_∞ and ‖A‖₁, exact if A is and no line has two entries."""
        A = over(np.abs(self.S) + self.R, 1) if self.R.any() else np.abs(self.S)
        return [float(total(B).max()) for B in (A, A.swapaxes(-1, -2))]

    def size(self) -> float:
        """An upper bound of ‖A‖₂: √(‖A‖₁‖A‖_∞)."""
        return float(over(np.prod(np.sqrt(self.lines())), 3))

    def norm_at_most(self, tau: float) -> bool:
        """Prove ‖A‖₂ ≤ τ: by sums of entries, or by τ²I ⪰ AAᵀ on the smaller side."""
        A = self if self.S.shape[-2] <= self.S.shape[-1] else self.T
        return max(self.lines()) <= tau or exceeds(np.full(A.S.shape[-2], tau * tau), A.gram())

    def norm_upper(self) -> float:
        """A proven upper bound of ‖A‖₂, within 10⁻⁶ of it unless the proof has to fall back."""
        guess = float(np.linalg.norm(self.S, 2, axis=(-2, -1)).max()) * (1.0 + 2.0**-20)
        return guess if self.norm_at_most(guess) else self.size()

    def least(self) -> float:
        """A proven lower bound of ‖Aᵀv‖₂/‖v‖₂ for all v: AAᵀ ⪰ s²I, or 0."""
        s = float(np.linalg.svd(self.S, compute_uv=False).min()) * (1.0 - 2.0**-17)
        AA = self.gram()
        return s if exceeds(np.full(AA.S.shape[-1], -s * s), Ball(-AA.S, AA.R)) else 0.0


def is_positive_definite(S: Array, R: Array) -> bool:
    """Prove that every symmetric X with |X − S| ≤ R entrywise (lower triangles) is ≻ 0.

    A congruence by powers of two, which is exact, brings the diagonal into [1/2, 2). If Cholesky of
    S̃ then ends with a finite factor of positive diagonal, λ_min(S̃) > −c (Rump, BIT 46, 2006) with
    c = ku/(1 − 2ku) tr S + 8n(n + 1 + max S_ii)2⁻¹⁰⁷⁴; k = n + 1 with true divisions, n + 2 with
    reciprocal pivots, n + 3 here. With r ≥ ‖R‖₂ and S̃_ii ≤ S_ii − c − r, X ⪰ S − rI ⪰ S̃ + cI ≻ 0.
    Completion alone proves nothing: LAPACK completes on NaN and reads one triangle.
    """
    k, on = S.shape[-1] + 3, (..., range(S.shape[-1]), range(S.shape[-1]))
    if not (np.isfinite(S) & np.isfinite(R) & (R >= 0.0)).all():
        return False
    half = -(np.frexp(S[on])[1] // 2)
    with np.errstate(all="ignore"):  # what overflows is infinite and fails below
        S, R = (np.ldexp(np.tril(A), half[..., None] + half[..., None, :]) for A in (S, R))
    # one triangle decides, for S and for R; TINY covers what scaling loses, and the last term of c
    S, R = (A + np.tril(A, -1).swapaxes(-1, -2) for A in (S, over(R, 1)))
    c = over(np.nextafter(k * UNIT / (1.0 - 2.0 * k * UNIT), 1.0) * total(S[on]), 1)
    S[on] = np.nextafter(
        S[on] - over(c + total(R).max(axis=-1, initial=0.0), 1)[..., None], -np.inf
    )
    try:
        factor = np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(factor).all() and (factor[on] > 0.0).all())


def exceeds(diagonal: Array, *terms: Ball) -> bool:
    """Prove diag(diagonal) ≻ Σ terms; all of them are within three roundings, and their radii."""
    S, k = np.diag(diagonal), len(terms)
    sizes = np.abs(S) + sum(np.abs(term.S) for term in terms)
    R = over(gamma(k + 3) * sizes + sum(term.R for term in terms), 2 * k + 6)
    return is_positive_definite(S - sum(term.S for term in terms), R)


def moderate(*numbers: Array | float) -> bool:
    """Positive, and so far from overflow and underflow that products of a few are too."""
    return all(np.all((x >= 2.0**-100) & (x <= 2.0**100)) for x in map(np.asarray, numbers))


def condition_3(W: Ball, gam: Array, mu: float) -> bool:
    """Prove (3): 2Γ − ΓW − WᵀΓ ⪰ 2μΓ, for moderate γ and μ."""
    H, left = W.scaled(gam), np.resize(2.0 * gam * (1.0 - mu), W.S.shape[-1])
    return moderate(gam, mu) and exceeds(left, H, H.T)


def condition_10(W: Ball, UU: Ball, GG: Ball, lam: Array, lip: float) -> bool:
    """Prove (10): 2Λ − ΛW − WᵀΛ − GᵀG/L − ΛUUᵀΛ/L ⪰ 0, for moderate λ and L."""
    H, P, Q = W.scaled(lam), GG.scaled(right=ONE / lip), UU.scaled(lam, lam / lip)
    return moderate(lam, lip) and exceeds(2.0 * np.resize(lam, W.S.shape[-1]), H, H.T, P, Q)


def condition_residual(K: Ball, D: Array, delta: float) -> bool:
    """Prove D KKᵀ D ⪯ (1 + δ)D where D > 0: (1 + δ)D⁻¹ ⪰ KKᵀ, or (1 + δ)I ⪰ KᵀDK if it is smaller."""
    D = np.resize(D, K.S.shape[-2])
    K, D = Ball(*(X[..., D > 0.0, :] for X in K)), D[D > 0.0]
    if len(D) <= K.S.shape[-1]:
        return exceeds((1.0 + delta) / D, K.gram())
    return exceeds(np.full(K.S.shape[-1], 1.0 + delta), K.T.scaled(right=np.sqrt(D)).gram())
