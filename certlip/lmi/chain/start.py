"""Feasible points of a chain: where the barrier method starts, and the best ρ of what it ends with."""

from __future__ import annotations

import math
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor

from certlip.lmi.chain.analytic import layerwise
from certlip.lmi.chain.recursion import schur_factors
from certlip.lmi.chain.scaled import ScaledChain

Point = tuple[list[Tensor], float]


def boundary(chain: ScaledChain, given: np.ndarray | None) -> Point | None:
    """Λ̃ with the smallest ρ that it proves: the closed form, or what was given if that is better."""
    other = None if given is None else _best_scale(chain, chain.scaled(given))
    return best_of(layerwise(chain), other)


def inside(chain: ScaledChain, lam: list[Tensor], rho: float) -> Point | None:
    """A strictly feasible point, by doubling one of the boundary; None if doubles do not reach it."""
    factor = 2.0
    while factor < 1e12:
        grown = [factor * part for part in lam], factor * rho
        if schur_factors(chain, *grown) is not None:
            return grown
        factor *= 2.0
    return None


def tightened(chain: ScaledChain, lam: list[Tensor], rho: float) -> Point:
    """The same Λ̃ with the smallest ρ that it proves."""
    found = least_rho(chain, lam)
    return lam, rho if found is None else min(rho, found)


def lifted(chain: ScaledChain, lam: list[Tensor], lift: float) -> Point | None:
    """(1 + lift)Λ̃ with the smallest ρ that it proves; None where it proves none."""
    grown = [(1.0 + lift) * part for part in lam]
    rho = least_rho(chain, grown)
    return None if rho is None else (grown, rho)


def best_of(*points: Point | None) -> Point | None:
    """The one with the smallest ρ."""
    return min((one for one in points if one is not None), key=itemgetter(1), default=None)


def _best_scale(chain: ScaledChain, lam: list[Tensor]) -> Point | None:
    """The factor of Λ̃ with the smallest ρ, which is convex in it: powers of two, then thirds."""

    def at(exponent: float) -> float:
        found = least_rho(chain, [part * 2.0**exponent for part in lam])
        return math.inf if found is None else found

    best = min(range(-40, 41), key=at)
    low, high = best - 1.0, best + 1.0
    while high - low > 1e-4:
        third = (high - low) / 3.0
        low, high = (
            (low, high - third) if at(low + third) <= at(high - third) else (low + third, high)
        )
    rho = at(0.5 * (low + high))
    return None if rho == math.inf else ([part * 2.0 ** (0.5 * (low + high)) for part in lam], rho)


def least_rho(chain: ScaledChain, lam: list[Tensor]) -> float | None:
    """ρ = λ_max(A_0ᵀΛ̃_1Y_1⁻¹Λ̃_1A_0), Y the recursion backwards; None where no ρ is enough."""
    half = chain.A[-1]
    for k in reversed(range(len(lam))):
        Y = torch.diag(2.0 * lam[k]) - half.mT @ half
        factor, info = torch.linalg.cholesky_ex(Y)
        if int(info) or not bool(factor.isfinite().all()):
            return None
        C = lam[k][:, None] * chain.A[k]
        half = torch.linalg.solve_triangular(factor, C, upper=False)
    rho = float(torch.linalg.matrix_norm(half, 2)) ** 2
    return rho if math.isfinite(rho) and rho > 0.0 else None
