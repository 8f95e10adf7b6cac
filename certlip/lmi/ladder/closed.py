"""The second rung: the closed form of each block's family, and the best multiple of its Λ."""

from __future__ import annotations

import time
from dataclasses import replace

from certlip.blocks import (
    Block,
    ConvEquilibrium,
    ConvResidual,
    Equilibrium,
    Network,
    PaddedEquilibrium,
    Residual,
)
from certlip.errors import CertlipError
from certlip.linalg.rigorous import UpperBound
from certlip.lmi.analytic import multipliers
from certlip.lmi.closed_form import best_multiple
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.inequality import smallest_lipschitz
from certlip.lmi.ladder.base import Best, Budget, Rung, Stretch
from certlip.lmi.problem import Problem
from certlip.lmi.rules import apply_rule


class Closed(Rung):
    """The rule of each block that is not its norm; of an equilibrium with a family its Λ, or the multiple
    that proves the least L."""

    name = "closed form"

    def climb(self, network: Network, best: Best, budget: Budget) -> list[Stretch]:
        found = []
        for k, block in enumerate(network.blocks):
            if isinstance(block, Equilibrium | ConvEquilibrium):
                if block.origin is None:
                    continue  # no family, no formula
            elif not isinstance(block, Residual | ConvResidual | PaddedEquilibrium):
                continue  # its rule is its norm
            budget.say(f"closed form of block {k}")
            start, lip, reason = time.perf_counter(), None, ""
            try:
                if budget.over():
                    reason = "no time left"
                else:
                    lip = self._bound(k, block, best)
            except CertlipError as error:
                reason = str(error)
            seconds = time.perf_counter() - start
            found.append(Stretch(k, k + 1, lip, seconds, self.name, reason))
        return found

    def _bound(self, k: int, block: Block, best: Best) -> UpperBound:
        if not isinstance(block, Equilibrium | ConvEquilibrium):
            return apply_rule(block).lip
        lip = apply_rule(block).lip
        best.well_posed.add(k)
        guess = multipliers(block)
        t, value = best_multiple(Problem.of(block), guess.lam)
        if value >= lip.value:
            return lip
        try:
            scaled = replace(guess, lam=t * guess.lam, lip=value)
            better = smallest_lipschitz(Everywhere(block), scaled, None)
        except CertlipError:
            return lip
        return min(lip, better, key=lambda bound: bound.value)
