"""The rule of an equilibrium block: (3) proven with a margin μ, (10) proven at the smallest L.

A block that (10) alone speaks about may not even be well-posed; (3) is always proven separately,
and its margin bounds the error of an approximate equilibrium (math of `certify`).
"""

from __future__ import annotations

import time

from certlip.blocks import ConvEquilibrium, Equilibrium
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.gamma import well_posed
from certlip.lmi.inequality import slack_of, smallest_lipschitz
from certlip.lmi.proof import EquilibriumProof
from certlip.lmi.search import Search


def prove_equilibrium(
    block: Equilibrium | ConvEquilibrium, *, lip: float | None = None, search: Search | None = None
) -> EquilibriumProof:
    """Proves (3) and (10) with the multipliers that `search` finds; `lip` asks for exactly that L.

    Raises:
        RejectedError: a condition is refuted for the multipliers of the family. (Those of a solver
            that fail say nothing about others.)
        InconclusiveError: neither proven nor refuted in double precision, or no multipliers.
        InputError: multipliers that are not positive.
    """
    start = time.perf_counter()
    search = search or Search()
    guess = search(block, lip)
    conditions = Everywhere(block, search.device)
    gam, mu = well_posed(block, conditions, guess, search)
    proven = smallest_lipschitz(conditions, guess, lip)
    return EquilibriumProof(
        block.kind,
        proven,
        guess.lip if lip is None else lip,
        time.perf_counter() - start,
        condition="10",
        method=guess.method,
        solver=guess.solver,
        family=guess.family,
        slack=slack_of(conditions, guess, proven.value),
        lam=guess.lam,
        gam=gam,
        mu=mu,
        gam_root_G=conditions.output_norm(gam),
        gam_W=conditions.state_norm(gam) if isinstance(block, ConvEquilibrium) else None,
    )
