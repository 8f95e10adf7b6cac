"""For output maps of one row each, the best multiple of a given Λ: a closed form, not a proof.

With D = 2Λ − ΛW − WᵀΛ = CCᵀ, C⁻¹ΛUUᵀΛC⁻ᵀ = Q diag(β) Qᵀ and w = QᵀC⁻¹gᵀ, (10) holds for tΛ if and only if
gM⁻¹gᵀ ≤ L with M = tD − t²ΛUUᵀΛ/L ≻ 0. For τ = t/L that is

    L² ≥ f(τ) = Σ_i w_i² / (τ(1 − τβ_i)),   0 < τ < 1/max β,

a sum of convex functions: one eigendecomposition serves all rows.
"""

from __future__ import annotations

import numpy as np

STEPS = 60  # of a bisection for f' = 0


@np.errstate(all="ignore")  # what overflows, and equal rows, end as no number
def row_multiples(
    W: np.ndarray, U: np.ndarray, rows: np.ndarray, lam: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """For rows (P, n), Λ of each (P, n) and the L (P,) that it may prove; None if no multiple can.

    Where two rows are equal, neither is a number.
    """
    scaled = lam[:, None] * (np.eye(len(lam)) - W)
    try:
        C = np.linalg.cholesky(scaled + scaled.T)
        B, right = np.linalg.solve(C, lam[:, None] * U), np.linalg.solve(C, rows.T)
        Q, root_beta, _ = np.linalg.svd(B, full_matrices=True)
    except np.linalg.LinAlgError:  # D is not definite, or not finite
        return None
    beta = np.zeros(len(lam))
    beta[: len(root_beta)] = root_beta**2
    if not 0.0 < beta[0] < np.inf:
        return None
    tau, lip = _least((Q.T @ right).T ** 2, beta)
    return (tau * lip)[:, None] * lam, lip


def _least(square: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """τ (P,) of the least f, and √f there, for w² (P, n)."""
    low, high = np.zeros(len(square)), np.full(len(square), 1.0 / beta.max())
    for _ in range(STEPS):
        tau = 0.5 * (low + high)
        left = 1.0 - tau[:, None] * beta
        slope = (square * (2.0 * tau[:, None] * beta - 1.0) / left**2).sum(axis=1)
        low, high = np.where(slope < 0.0, tau, low), np.where(slope < 0.0, high, tau)
    return low, np.sqrt((square / (1.0 - low[:, None] * beta)).sum(axis=1) / low)
