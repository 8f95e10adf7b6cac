"""Bounds of the differences of two logits, by an LMI for each pair of classes.

For the margin y_a − y_b the output map of (10) is the one row G_a − G_b; all pairs are solved at once, as
many as memory takes. What lies before the last run of dense blocks counts with its best bound.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from certlip.blocks import Network
from certlip.errors import CertlipError, InconclusiveError
from certlip.linalg.rigorous import UpperBound
from certlip.lmi.chain import Chain
from certlip.lmi.conditions import Conditions
from certlip.lmi.ladder.base import Best, Budget
from certlip.lmi.ladder.jointly import Run, chain_bound, ill_posed, runs
from certlip.lmi.pairs import lower, pair_bounds
from certlip.lmi.rows import ARRAYS, TOL, prove_row, solve_rows
from certlip.lmi.whole import whole

LARGEST_DENSE_CHAIN = 64  # multipliers of a chain: pairs of smaller ones are faster in a batch
LARGEST_BATCH = 4 * 2.0**30  # bytes: larger batches are no faster


def best_pairs(network: Network, best: Best, budget: Budget) -> tuple[np.ndarray | None, str]:
    """L̄ (classes, classes), symmetric with a zero diagonal, and why not every LMI was solved, if so;
    None where the network has no proven bound."""
    m = len(network.blocks)
    lip, before = best.of(0, m), best.of(0, m - 1)
    if lip is None:
        return None, "the network has no proven bound"
    try:
        bounds = pair_bounds(network, lip, before)
    except InconclusiveError as error:
        return None, str(error)
    np.fill_diagonal(bounds, 0.0)
    run = next((run for run in runs(network) if run.stop == m), None)
    if run is None:
        return bounds, "the last blocks are not dense"
    first = best.of(0, run.start)
    one_by_one = run.feed_forward and run.n > LARGEST_DENSE_CHAIN
    reason = run.too_large(budget) if one_by_one else run.too_large_for_dense(budget)
    reason = reason or ill_posed(network, run, best)
    if reason is None and first is not None:
        solve = _one_by_one if one_by_one else _in_batches
        reason = solve(run, first, bounds, budget)
    return bounds, reason or ""


def _one_by_one(run: Run, first: UpperBound, bounds: np.ndarray, budget: Budget) -> str | None:
    """Lowers the bounds by an LMI for each pair of a deep chain; says why it stopped early."""
    chain = Chain.of(run.blocks)
    pairs = list(combinations(range(len(bounds)), 2))
    for done, (a, b) in enumerate(pairs):
        if budget.over():
            return f"no time left after {done} of {len(pairs)} pairs"
        budget.say(f"LMI of pair {done + 1} of {len(pairs)}")
        row = np.zeros((1, len(bounds)))
        row[0, a], row[0, b] = 1.0, -1.0
        try:
            lip, _ = chain_bound(chain.with_rows(row), budget)
        except (CertlipError, ValueError):
            continue  # the pair keeps the bound that it has
        lower(bounds, a, b, first, lip)
    return None


def _in_batches(run: Run, first: UpperBound, bounds: np.ndarray, budget: Budget) -> str | None:
    """Lowers the bounds by an LMI for each pair, in batches; says why it stopped early."""
    forms = whole(run.blocks)
    conditions = Conditions(forms)
    pairs = list(combinations(range(len(bounds)), 2))
    room = min(budget.memory, LARGEST_BATCH)
    size = int(max(1, room // (ARRAYS * 8.0 * forms.n**2)))
    for at in range(0, len(pairs), size):
        if budget.over():
            return f"no time left after {at} of {len(pairs)} pairs"
        batch = pairs[at : at + size]
        budget.say(f"LMIs of pairs {at + 1} to {at + len(batch)} of {len(pairs)}")
        found = solve_rows(
            forms,
            batch,
            tol=max(budget.tol, TOL),
            device=budget.device,
            max_seconds=budget.left(),
        )
        for (a, b), candidate in zip(batch, found, strict=True):
            proven = prove_row(conditions, forms.G, (a, b), candidate.lam, candidate.lip)
            if proven is not None:
                lower(bounds, a, b, first, proven[0])
    return None
