"""The highest rung: one LMI for every stretch of blocks that is, or can be written as, one equilibrium."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from certlip.blocks import (
    Activation,
    Affine,
    Block,
    ConvEquilibrium,
    Equilibrium,
    Network,
    Normalize,
    Residual,
)
from certlip.blocks.dense_form import dense_form
from certlip.errors import CertlipError, InconclusiveError, UnsupportedError
from certlip.linalg.rigorous import UpperBound
from certlip.lmi.analytic import Multipliers
from certlip.lmi.candidate import Candidate
from certlip.lmi.chain import Chain, minimise_chain, prove_chain
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.forms import Forms
from certlip.lmi.inequality import smallest_lipschitz
from certlip.lmi.ladder.base import Best, Budget, Rung, Stretch
from certlip.lmi.problem import Problem
from certlip.lmi.solvers.structured import Structured
from certlip.lmi.whole import BYTES, OUTER_BYTES, states, whole

SEGMENT = 10  # activations of one part of a deep chain
DENSE = (Normalize, Affine, Activation, Equilibrium, Residual)
#: What a state of a chain costs besides its layer: its share of the windows of the preconditioner.
WINDOW = 64


@dataclass(frozen=True)
class Run:
    """Blocks `start` … `stop` − 1 of a network in the dense vocabulary."""

    start: int
    stop: int
    blocks: tuple[Block, ...]

    @property
    def n(self) -> int:
        return states(self.blocks)

    @property
    def alone(self) -> bool:
        """Whether nothing can be gained over the bounds of the blocks: one of them, after a scaling."""
        scalings = [b for b in self.blocks if isinstance(b, Normalize)]
        same = all(bool((b.std == b.std[0]).all()) for b in scalings)
        return same and len(self.blocks) - len(scalings) == 1

    @property
    def feed_forward(self) -> bool:
        """Whether the matrix of (10) is block tridiagonal."""
        return all(isinstance(b, Normalize | Affine | Activation) for b in self.blocks)

    def segments(self) -> list[Run]:
        """The parts of a deep chain, `SEGMENT` activations each, that end before an activation: what
        doubles can prove of them does not depend on depth. None of a chain that is not deep."""
        at = [k for k, block in enumerate(self.blocks) if isinstance(block, Activation)]
        if not self.feed_forward or len(at) <= 1.5 * SEGMENT:
            return []
        cuts = [0, *at[SEGMENT::SEGMENT], len(self.blocks)]
        return [
            Run(self.start + a, self.start + b, self.blocks[a:b])
            for a, b in pairwise(cuts)
            if any(isinstance(block, Activation) for block in self.blocks[a:b])
        ]

    @property
    def ends(self) -> int:
        """Inputs and outputs."""
        return self.blocks[0].in_width + self.blocks[-1].out_width

    def too_large(self, budget: Budget) -> str | None:
        """Why the run is not worth trying as a chain, or else as one dense matrix."""
        if not self.feed_forward:
            return self.too_large_for_dense(budget)
        widths = [b.in_width for b in self.blocks if isinstance(b, Activation)]
        inner = sum(w * max(widths) for w in widths) + WINDOW * sum(widths)
        return budget.short_of(BYTES * inner + OUTER_BYTES * max(widths) * self.ends)

    def too_large_for_dense(self, budget: Budget) -> str | None:
        """Why the run is not worth trying as one dense matrix."""
        largest = Structured.capabilities.largest
        if self.n > largest:
            return f"{self.n:,} multipliers: the structured solver takes up to {largest:,}"
        return budget.short_of(BYTES * self.n**2 + OUTER_BYTES * self.n * self.ends)


def runs(network: Network) -> list[Run]:
    """The maximal runs of blocks with a dense form and something nonlinear in them."""
    found: list[Run] = []
    waiting: list[Block] = []
    start = 0
    for k, block in enumerate([*network.blocks, None]):
        dense = None if block is None else _dense(block)
        if dense is not None:
            if not waiting:
                start = k
            waiting += dense
            continue
        if any(not isinstance(b, Normalize | Affine) for b in waiting):
            found.append(Run(start, k, tuple(waiting)))
        waiting = []
    return found


def _dense(block: Block) -> list[Block] | None:
    try:
        form = dense_form(block)
    except UnsupportedError:
        return None
    return form if all(isinstance(part, DENSE) for part in form) else None


class Jointly(Rung):
    """The least L over all Λ for whole runs."""

    name = "network LMI"

    def climb(self, network: Network, best: Best, budget: Budget) -> list[Stretch]:
        found = []
        for run in runs(network):
            if run.alone:
                continue  # the block's own bound, times a number
            found.append(self._bounded(network, run, best, budget))
            if found[-1].lip is None and network.blocks[run.start : run.stop] == run.blocks:
                found += [self._bounded(network, part, best, budget) for part in run.segments()]
        return found

    def _bounded(self, network: Network, run: Run, best: Best, budget: Budget) -> Stretch:
        budget.say(f"LMI of blocks {run.start} to {run.stop - 1}, {run.n:,} multipliers")
        start, lip, estimate = time.perf_counter(), None, None
        reason = run.too_large(budget) or ill_posed(network, run, best)
        if budget.over():
            reason = "no time left"
        if reason is None:
            try:
                lip, estimate = _solved(run, budget)
            except CertlipError as error:
                reason = str(error)
        seconds = time.perf_counter() - start
        return Stretch(run.start, run.stop, lip, seconds, self.name, reason or "", estimate)


def ill_posed(network: Network, run: Run, best: Best) -> str | None:
    """(10) counts only where every equilibrium of the run has a proven (3)."""
    for k in range(run.start, run.stop):
        implicit = isinstance(network.blocks[k], Equilibrium | ConvEquilibrium)
        if implicit and k not in best.well_posed:
            return f"block {k} is not proven to be well-posed"
    return None


def _solved(run: Run, budget: Budget) -> tuple[UpperBound, float]:
    if run.feed_forward:
        return chain_bound(Chain.of(run.blocks), budget)
    forms = whole(run.blocks)
    (found,) = solver(budget).minimise(Problem.of_forms(forms, device=budget.device))
    return proven(forms, found), found.lip


def chain_bound(chain: Chain, budget: Budget) -> tuple[UpperBound, float]:
    """The least L of a chain that is proven, and what its solver takes for it.

    Raises:
        InconclusiveError: no multipliers were found, or they prove nothing.
    """
    found = minimise_chain(chain, tol=budget.tol, max_seconds=budget.left(), device=budget.device)
    if found.lam is None and found.lip == np.inf:
        raise InconclusiveError(f"no multipliers found: {found.message or found.status}")
    return prove_chain(chain, found.lam, found.lip), found.lip


def solver(budget: Budget) -> Structured:
    """The structured solver within what is left of the budget."""
    left = budget.left()
    return Structured(tol=budget.tol, **({} if left is None else {"max_seconds": left}))


def proven(forms: Forms, found: Candidate) -> UpperBound:
    """The least L of (10) that is proven with a candidate's Λ.

    Raises:
        InconclusiveError: there is no Λ, or it proves nothing.
    """
    lam = found.lam
    if lam is None or not (np.isfinite(lam).all() and (lam > 0.0).all()):
        raise InconclusiveError(f"no multipliers found: {found.message or found.status}")
    guess = Multipliers(lam, lam, found.lip, found.solver, "structured", found.solver)
    return smallest_lipschitz(Everywhere([forms]), guess, None)
