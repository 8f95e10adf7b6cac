"""Which Γ of (3) a block is proven with: one that keeps the error of an approximate equilibrium small.

From a residual e follows an error of the output up to ‖GΓ^{−1/2}‖‖We‖_Γ/μ (math of `certify`). The Γ of a
family may have next to no margin: blkdiag(L₂Λ₁, Λ₂/L₁) of a composition has μ = 10⁻⁹ where both blocks
have 1, while other weights of its parts keep nearly 1.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch

from certlip.blocks import ConvEquilibrium, Equilibrium
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import LowerBound
from certlip.lmi.analytic import Multipliers
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.inequality import monotonicity
from certlip.lmi.interior.growth import least_gamma
from certlip.lmi.problem import Problem
from certlip.lmi.search import Search
from certlip.lmi.solvers.units import Units

ENOUGH = 1e6  # a growth that costs 10⁻⁴ of a radius: residuals are about 10⁻¹⁰
#: μ that are tried in turn. Those of compositions come near 1, but the growth is nearly the same for all
#: that are well below the largest, and a small one is soon found.
MARGINS = (0.1, 0.01, 0.001)
LARGEST = 4e9  # frequencies × n³ that are solved for: one to two minutes of one core


def well_posed(
    block: Equilibrium | ConvEquilibrium,
    conditions: Everywhere,
    guess: Multipliers,
    search: Search,
) -> tuple[np.ndarray, LowerBound]:
    """Γ (n,) and a proven μ > 0 of (3): of the guess, or of a Γ with which errors grow less.

    Another Γ is looked for where errors grow too much, unless the method is "analytic".

    Raises:
        RejectedError: (3) is refuted for the Γ of a family.
        InconclusiveError: neither proven nor refuted, and nor is it proven with another Γ.
    """
    found: list[tuple[np.ndarray, LowerBound]] = []
    problem, undecided = Problem.of(block, search.device), None
    try:
        found.append(
            (guess.gam, monotonicity(conditions, guess.gam, guess.source, guess.solver is None))
        )
    except InconclusiveError as error:
        undecided = error
    poor = undecided is not None or growth(problem, *found[0]) > ENOUGH
    if poor and search.method != "analytic" and problem.W.shape[0] * problem.n**3 <= LARGEST:
        other = _least_gamma(problem)
        if other is not None:
            with suppress(InconclusiveError):  # the first one stands, if it does
                found.append((other, monotonicity(conditions, other, "structured", claimed=False)))
    if not found:
        assert undecided is not None
        raise undecided
    return min(found, key=lambda each: growth(problem, *each))


def growth(problem: Problem, gam: np.ndarray, mu: LowerBound) -> float:
    """About ‖GΓ^{−1/2}‖(‖Γ^{1/2}‖ + ‖Γ^{1/2}W‖/μ), the error of the outputs per residual.

    Frobenius norms are large enough, and need no singular values.
    """
    root = torch.from_numpy(np.sqrt(gam)).to(problem.W.device)
    through = float(torch.linalg.matrix_norm(problem.G[0] / root).max())
    W = float(torch.linalg.matrix_norm(root[:, None] * problem.W).max())
    return through * (float(root.norm()) + W / mu.value)


@torch.no_grad()
def _least_gamma(problem: Problem) -> np.ndarray | None:
    """The least Γ for the first margin that there is one for, solved for in balanced units.

    Residuals of rounding are about equal in these, those of a solver in the block's own: the weights of
    what is least lie half-way.
    """
    units = Units.of(problem)
    scaled = units.scaled(problem)
    for mu in MARGINS:
        gam = least_gamma(scaled, mu, 1.0 / units.t)
        if gam is not None:
            found = units.gam(gam).cpu().numpy()
            return found if np.isfinite(found).all() and (found > 0.0).all() else None
    return None
