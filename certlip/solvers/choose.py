"""Which solver suits a W."""

from __future__ import annotations

from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.linalg.operators import Operator, as_operator
from certlip.linalg.triangular import strict_lower_blocks
from certlip.solvers.base import EquilibriumSolver
from certlip.solvers.gauss_seidel import GaussSeidel, blocks_of
from certlip.solvers.peaceman_rachford import PeacemanRachford
from certlip.solvers.substitution import Substitution


def solver_for(
    W: Tensor | Operator,
    sigma: Sigma,
    tol: float | None = None,
    *,
    metric: Tensor | None = None,
    compact: bool = True,
) -> EquilibriumSolver:
    """Substitution where W is triangular in storage, sweeps where it nearly is, else splitting.

    Args:
        metric: A diagonal of (3) per unit, for the splitting.
        compact: Whether converged rows leave the batch.
    """
    W = as_operator(W)
    if strict_lower_blocks(W.pattern().cpu().numpy()) is not None:
        return Substitution(W, sigma, tol=tol)
    if blocks_of(W) is not None:
        return GaussSeidel(W, sigma, metric=metric, tol=tol, compact=compact)
    return PeacemanRachford(W, sigma, metric=metric, tol=tol, compact=compact)
