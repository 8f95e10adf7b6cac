"""Matrix inequalities, proven by a Cholesky factorization that has to pay for all its errors."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from certlip.checker.rounding import ONE, UNIT, Array, dot, gamma, lines, over, size, total


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

    def norm_at_most(self, tau: float) -> bool:
        """Prove ‖A‖₂ ≤ τ: by sums of entries, or by τ²I ⪰ AAᵀ on the smaller side."""
        A = self if self.S.shape[-2] <= self.S.shape[-1] else self.T
        sizes = over(np.abs(A.S) + A.R, 1) if A.R.any() else np.abs(A.S)
        if min(lines(sizes), Fraction(size(sizes)) ** 2) <= Fraction(tau) ** 2:
            return True
        return exceeds(np.full(A.S.shape[-2], tau * tau), A.gram())

    def norm_upper(self) -> float:
        """A proven upper bound of ‖A‖₂, within 10⁻⁶ of it unless the proof has to fall back."""
        guess = float(np.linalg.norm(self.S, 2, axis=(-2, -1)).max()) * (1.0 + 2.0**-20)
        return guess if self.norm_at_most(guess) else size(over(np.abs(self.S) + self.R, 1))


def is_positive_definite(S: Array, R: Array) -> bool:
    """Prove that every symmetric X with |X − S| ≤ R entrywise (lower triangles) is ≻ 0.

    A congruence by powers of two, which is exact, brings the diagonal into [1/2, 2). If Cholesky of
    S̃ then ends with a finite factor of positive diagonal, λ_min(S̃) > −c (Rump, BIT 46, 2006) with
    c = ku/(1 − 2ku) tr S + 8n(n + 1 + max S_ii)2⁻¹⁰⁷⁴; k = n + 1 with true divisions, n + 2 with
    reciprocal pivots, n + 3 here. With r ≥ ‖R‖₂ and S̃_ii ≤ S_ii − c − r, X ⪰ S − rI ⪰ S̃ + cI ≻ 0.
    Completion alone proves nothing: LAPACK completes on NaN and reads one triangle.
    """
    k, on = S.shape[-1] + 3, (..., range(S.shape[-1]), range(S.shape[-1]))
    if not (np.isfinite(S) & np.isfinite(R) & (R >= 0.0)).all() or not (S[on] > 0.0).all():
        return False
    half = -(np.frexp(S[on])[1] // 2)
    with np.errstate(all="ignore"):  # what overflows is infinite and fails below
        S, R = (np.ldexp(np.tril(A), half[..., None] + half[..., None, :]) for A in (S, R))
    # one triangle decides, for S and for R; TINY covers what scaling loses, and the last term of c
    S, R = (A + np.tril(A, -1).swapaxes(-1, -2) for A in (S, over(R, 1)))
    c = over(np.nextafter(k * UNIT / (1.0 - 2.0 * k * UNIT), 1.0) * total(S[on]), 1)
    S[on] = np.nextafter(S[on] - over(c + total(R).max(axis=-1), 1)[..., None], -np.inf)
    if not (np.isfinite(S).all() and (S[on] > 0.0).all()):
        return False
    try:
        factor = np.linalg.cholesky(S)
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(factor).all() and (factor[on] > 0.0).all())


def exceeds(diagonal: Array, *terms: Ball) -> bool:
    """Prove diag(diagonal) ≻ Σ terms; all of them are within three roundings, and their radii."""
    if not len(diagonal):
        return True
    S, k = np.diag(diagonal), len(terms)
    sizes = S + sum(np.abs(term.S) for term in terms)
    R = over(gamma(k + 3) * sizes + sum(term.R for term in terms), 2 * k + 6)
    return is_positive_definite(S - sum(term.S for term in terms), R)


def condition_3(W: Ball, gam: Array, mu: float) -> bool:
    """Prove (3): 2Γ − ΓW − WᵀΓ ⪰ 2μΓ."""
    H, gam = W.scaled(gam), np.resize(gam, W.S.shape[-1])
    return exceeds(2.0 * gam, Ball(np.diag(2.0 * mu * gam), np.zeros(1)), H, H.T)


def condition_10(W: Ball, UU: Ball, GG: Ball, lam: Array, lip: float) -> bool:
    """Prove (10): 2Λ − ΛW − WᵀΛ − GᵀG/L − ΛUUᵀΛ/L ⪰ 0, for moderate λ and L."""
    H, P, Q = W.scaled(lam), GG.scaled(right=ONE / lip), UU.scaled(lam, lam / lip)
    return exceeds(2.0 * np.resize(lam, W.S.shape[-1]), H, H.T, P, Q)


def condition_residual(K: Ball, D: Array, delta: float) -> bool:
    """Prove D KKᵀ D ⪯ (1 + δ)D where D > 0: (1 + δ)D⁻¹ ⪰ KKᵀ, or (1 + δ)I ⪰ KᵀDK if it is smaller."""
    D = np.resize(D, K.S.shape[-2])
    K, D = Ball(*(X[..., D > 0.0, :] for X in K)), D[D > 0.0]
    if len(D) <= K.S.shape[-1]:
        return exceeds((1.0 + delta) / D, K.gram())
    return exceeds(np.full(K.S.shape[-1], 1.0 + delta), K.T.scaled(right=np.sqrt(D)).gram())
