"""The best multiple of Ψ⁻¹ for an LBEN on images, estimated: nothing here is proven.

With Λ = tΨ⁻¹ the smallest L of (10) is λ_max of GᵀG/t + tΨ⁻¹ŪŪᵀΨ⁻¹ with respect to M = 2Ψ⁻¹ − Ψ⁻¹W − WᵀΨ⁻¹:
one generalized eigenvalue per t, by products with convolutions (LOBPCG), and a search in one dimension.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from certlip.blocks import PaddedEquilibrium
from certlip.linalg.operators.padded_equilibrium import PaddedOperator

BLOCK = 4  # vectors at a time
SEARCH = (0.1, 0.03, 0.01)  # steps of log t, each taken as long as it helps


class Scale(NamedTuple):
    """t > 0 and about the smallest L that it gives."""

    scale: float
    lip: float


def best_scale(block: PaddedEquilibrium) -> Scale:
    """The t for which the smallest L is smallest.

    L(t) ≥ max(a/t, bt) with a, b the eigenvalues of each term alone: t = √(a/b) is nearly the best, and
    L is convex in log t.
    """
    return _Search(block).run()


class _Search:
    def __init__(self, block: PaddedEquilibrium) -> None:
        own = (block.psi, block.U, block.A, block.B, block.G)
        self.W = PaddedOperator(*own, block.m, block.lip)
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((self.W.out_width, min(BLOCK, self.W.out_width)))

    def run(self) -> Scale:
        a, b = self.largest(1.0, 0.0), self.largest(0.0, 1.0)
        if not (a > 0.0 and b > 0.0):  # a constant map, or no estimate
            return Scale(1.0, math.inf)
        center = math.sqrt(a / b)
        best = self.at(center)
        for step in SEARCH:
            for sign in (1.0, -1.0):
                before = best
                while (near := self.at(best.scale * math.exp(sign * step))).lip < best.lip:
                    best = near
                if best is not before:  # convex: the other direction leads up
                    break
        return best

    def at(self, t: float) -> Scale:
        return Scale(t, self.largest(1.0 / t, t))

    def largest(self, of_G: float, of_U: float) -> float:
        """λ_max of of_G·GᵀG + of_U·Ψ⁻¹ŪŪᵀΨ⁻¹ with respect to M."""
        from scipy.sparse.linalg import lobpcg

        W, n = self.W, self.W.out_width

        def columns(of_rows: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], np.ndarray]:
            def product(X: np.ndarray) -> np.ndarray:
                rows = torch.from_numpy(np.ascontiguousarray(X.reshape(n, -1).T, dtype=np.float64))
                return of_rows(rows).numpy().T.reshape(X.shape)

            return product

        right = columns(lambda z: of_G * W.output_gram(z) + of_U * W.input_gram(z))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an eigenvalue to fewer digits is as good a guess
            try:
                values, self.X = lobpcg(
                    right, self.X, B=columns(lambda z: 2.0 * W.symmetric(z)), tol=1e-5, maxiter=50
                )
            except np.linalg.LinAlgError:  # M is nearly singular or not finite: no estimate
                return math.nan
        return float(np.max(values))
