"""Which solver suits a W."""

from __future__ import annotations

from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.linalg.triangular import strict_lower_blocks
from certlip.solvers.base import EquilibriumSolver
from certlip.solvers.gauss_seidel import GaussSeidel, blocks_of
from certlip.solvers.peaceman_rachford import PeacemanRachford
from certlip.solvers.substitution import Substitution


def solver_for(W: Tensor, sigma: Sigma, tol: float | None = None) -> EquilibriumSolver:
    """Substitution where W is triangular in storage, sweeps where it nearly is, else splitting."""
    if strict_lower_blocks(W.detach().cpu().numpy()) is not None:
        return Substitution(W, sigma, tol=tol)
    if blocks_of(W) is not None:
        return GaussSeidel(W, sigma, tol=tol)
    return PeacemanRachford(W, sigma, tol=tol)
