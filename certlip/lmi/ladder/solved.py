"""The third rung: the structured solver on each equilibrium block."""

from __future__ import annotations

import time

from certlip.blocks import ConvEquilibrium, Equilibrium, Network
from certlip.errors import CertlipError
from certlip.lmi.ladder.base import Best, Budget, Rung, Stretch
from certlip.lmi.rules import apply_rule
from certlip.lmi.search import Search
from certlip.lmi.whole import BYTES


class Solved(Rung):
    """The least L over all Λ, block by block."""

    name = "block LMI"

    def climb(self, network: Network, best: Best, budget: Budget) -> list[Stretch]:
        found = []
        for k, block in enumerate(network.blocks):
            if not isinstance(block, Equilibrium | ConvEquilibrium):
                continue
            pixels = block.torus.pixels if isinstance(block, ConvEquilibrium) else 1
            need = BYTES * block.n**2 * pixels
            budget.say(f"LMI of block {k}, {block.n:,} multipliers, about {need / 2**30:.2f} GiB")
            reason = budget.short_of(need)
            start, lip, estimate = time.perf_counter(), None, None
            if budget.over():
                reason = "no time left"
            if reason is None:
                options: dict[str, float] = {"tol": budget.tol}
                left = budget.left()
                if left is not None:
                    options["max_seconds"] = left
                try:
                    search = Search("structured", options=options, device=budget.device)
                    proof = apply_rule(block, lip=None, search=search)
                    lip, estimate = proof.lip, proof.claimed
                    best.well_posed.add(k)
                except CertlipError as error:
                    reason = str(error)
            seconds = time.perf_counter() - start
            found.append(Stretch(k, k + 1, lip, seconds, self.name, reason or "", estimate))
        return found
