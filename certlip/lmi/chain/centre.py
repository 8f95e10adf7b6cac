"""Centring layer by layer: ρ/μ − log det S lowered over one layer's multipliers at a time.

And over a factor t of all that comes before the layer, ρ too: it moves what the layers agree on, which
steps of single layers hardly do. With everything else fixed

    log det X + q log t − ρt/μ,     X = 2Λ − ΛBΛ/t − F

is maximised, concave in (Λ, t), where q is the order of all before the layer, B = A_{k−1}X_{k−1}⁻¹A_{k−1}ᵀ
what comes from there, F = A_kᵀΛ_{k+1}Y_{k+1}⁻¹Λ_{k+1}A_k what comes after the layer, and X_k, Y_k the Schur
complements forwards and backwards. A sweep costs as much per layer at any depth, a fraction of a step of
the path, and each layer has a step length of its own.
"""

from __future__ import annotations

import math
from itertools import accumulate

import torch
from torch import Tensor

from certlip.lmi.chain.mixing import Mixing
from certlip.lmi.chain.recursion import cholesky, schur_factors
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.start import Point

#: Sweeps forwards and backwards; Newton steps of a layer at most, and the decrement that is enough.
SWEEPS, STEPS, ENOUGH = 8, 20, 1.0
#: μ · order as a share of ρ. The central path is below 1; far below, layers stick to the boundary.
SHARE = 0.5


def centred(chain: ScaledChain, start: Point, sweeps: int = SWEEPS) -> Point:
    """An interior point nearer to the central path; `start` where doubles fail."""
    lam, rho = start
    single = _centred(chain.to(torch.float32), ([part.float() for part in lam], rho), sweeps)
    if single is not None:
        point = [part.double() for part in single[0]], single[1]
        if schur_factors(chain, *point) is not None:
            return point
    return _centred(chain, start, sweeps) or start


def _centred(chain: ScaledChain, start: Point, sweeps: int) -> Point | None:
    point = start
    mixing = Mixing()
    for _ in range(sweeps):
        end = swept(chain, *point, SHARE * point[1] / chain.order)
        if end is None:
            return None
        beyond = mixing.beyond(point, end)
        point = end if schur_factors(chain, *beyond) is None else beyond
    return point if schur_factors(chain, *point) is not None else None


def swept(chain: ScaledChain, lam: list[Tensor], rho: float, mu: float) -> Point | None:
    """Forwards and backwards, towards the point of the central path at μ; None where doubles fail."""
    A, K, lam = chain.A, len(lam), list(lam)
    q = list(accumulate(chain.widths, initial=A[0].shape[1]))
    after = [A[K].mT @ A[K]]
    for k in reversed(range(1, K)):
        passed = _passed(torch.diag(2.0 * lam[k]) - after[0], A[k].mT * lam[k])
        if passed is None:
            return None
        after.insert(0, passed)
    before, factors = [A[0] @ A[0].mT / rho], []
    for k in range(K):
        lam[k], t = _best(before[k], after[k], lam[k], q[k], rho / mu)
        rho, before[k] = rho * t, before[k] / t
        factors.append(t)
        X = torch.diag(2.0 * lam[k]) - lam[k][:, None] * before[k] * lam[k]
        passed = _passed(X, A[k + 1])
        if passed is None:
            return None
        before.append(passed)
    F, late = after[-1], 1.0  # `late`: the factors that were found after the layer had been left
    for k in reversed(range(K)):
        lam[k], t = _best(before[k] / late, F, lam[k] * late, q[k], rho / mu)
        rho, late = rho * t, late * t * factors[k]
        passed = _passed(torch.diag(2.0 * lam[k]) - F, A[k].mT * lam[k])
        if passed is None:
            return None
        F = passed
    return lam, rho


def _passed(X: Tensor, A: Tensor) -> Tensor | None:
    """A X⁻¹Aᵀ."""
    factor = cholesky(X)
    if factor is None:
        return None
    half = torch.linalg.solve_triangular(factor, A.mT, upper=False)
    return half.mT @ half


def _best(B: Tensor, F: Tensor, lam: Tensor, q: int, price: float) -> tuple[Tensor, float]:
    """The (Λ, t) that maximise log det X + q log t − price·t, by Newton steps from a feasible Λ and 1.

    ∂X/∂λ_i = e_iv_iᵀ + v_ie_iᵀ, v_i = (I − ΛB/t)e_i; ∂²X/∂λ_i∂λ_j = −B_ij(e_ie_jᵀ + e_je_iᵀ)/t; and for
    t(1 + δ), N = ΛBΛ/t = ∂X/∂δ = −½∂²X/∂δ², ∂²X/∂δ∂λ_i = (e_ie_iᵀΛB + BΛe_ie_iᵀ)/t.
    """

    def factor_of(lam: Tensor, t: float) -> Tensor | None:
        positive = t > 0.0 and bool((lam > 0.0).all())
        return (
            cholesky(torch.diag(2.0 * lam) - lam[:, None] * B * lam / t - F) if positive else None
        )

    def value(factor: Tensor, t: float) -> float:
        return 2.0 * float(factor.diagonal().log().sum()) + q * math.log(t) - price * t

    t, w = 1.0, len(lam)
    factor = factor_of(lam, t)
    g, H = lam.new_empty(w + 1), lam.new_empty(w + 1, w + 1)
    for _ in range(STEPS):
        if factor is None:
            return lam, t
        P, Bt = torch.cholesky_inverse(factor), B / t
        R = P @ (lam[:, None] * Bt)
        T, PN = P - R, R * lam
        g[:w] = 2.0 * T.diagonal()
        g[w] = PN.trace() + q - price * t
        H[:w, :w] = 2.0 * (P * (P - R - R.mT + (Bt * lam) @ R + Bt) + T * T.mT)
        H[:w, w] = H[w, :w] = 2.0 * ((PN * T.mT).sum(1) - R.diagonal())
        H[w, w] = (PN * PN.mT).sum() + 2.0 * PN.trace() + q
        s = H.diagonal().rsqrt()
        root = cholesky(s[:, None] * H * s)
        if root is None:
            return lam, t
        d = s * torch.cholesky_solve((s * g)[:, None], root)[:, 0]
        decrement = float(g @ d)
        safe = 1.0 / (1.0 + math.sqrt(decrement))
        size, before = 1.0, value(factor, t)
        while True:
            moved = lam + size * d[:w], t * (1.0 + size * float(d[w]))
            factor = factor_of(*moved)
            if factor is not None and value(factor, moved[1]) > before + 0.1 * size * decrement:
                break
            if size <= safe:
                return lam, t
            size = max(0.5 * size, safe)
        lam, t = moved
        if decrement < ENOUGH:
            return lam, t
    return lam, t
