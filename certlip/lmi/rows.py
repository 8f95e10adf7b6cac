"""(10) for differences of two outputs: solved for in batches, proven one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from certlip.linalg.rigorous import UpperBound, is_positive_definite
from certlip.linalg.rigorous.ball import Ball
from certlip.lmi.candidate import Candidate
from certlip.lmi.conditions import Conditions
from certlip.lmi.forms import Forms
from certlip.lmi.multiples import row_multiples
from certlip.lmi.problem import Problem
from certlip.lmi.slack import SLACK
from certlip.lmi.solvers.structured import Structured

TOL = 1e-5  # relative gap of a solved L
ARRAYS = 16  # of order n that one problem of a batch holds
#: Relative increments of a guessed L that are tried in turn.
STEPS = (1e-10, 1e-7, 1e-4, 1e-2)


def solve_rows(
    forms: Forms,
    pairs: Sequence[tuple[int, int]] | np.ndarray,
    *,
    tol: float = TOL,
    start: np.ndarray | None = None,
    device: str = "cpu",
    max_seconds: float | None = None,
) -> list[Candidate]:
    """Λ and L for each difference of outputs a and j, all at once."""
    rows = np.zeros((len(pairs), forms.G.shape[0]))
    for row, (a, j) in zip(rows, pairs, strict=True):
        row[a], row[j] = 1.0, -1.0
    limit = {} if max_seconds is None else {"max_seconds": max_seconds}
    return Structured(tol=tol, **limit).minimise(Problem.of_forms(forms, rows, device), start)


def prove_row(
    conditions: Conditions, G: Ball, pair: tuple[int, int], lam: np.ndarray | None, lip: float
) -> tuple[UpperBound, np.ndarray] | None:
    """An L at or a little above `lip` for which (10) with the row G_a − G_j is proven, and its Λ: `lam`
    (n,), or the best multiple of it. None if nothing is proven.

    The difference of the rows is enclosed, not rounded.
    """
    if lam is None or not (np.isfinite(lam).all() and (lam > 0.0).all()):
        return None
    a, j = pair
    row = G[a : a + 1] - G[j : j + 1]
    own = conditions.with_outputs(row)
    bound = _least(own, lam, lip)
    if bound is not None:
        return bound, lam
    multiple = row_multiples(own.of.W.mid, own.of.U.mid, row.mid, lam)
    if multiple is None or not np.isfinite(multiple[0]).all():
        return None
    bound = _least(own, multiple[0][0], float(multiple[1][0]))
    return None if bound is None else (bound, multiple[0][0])


def _least(conditions: Conditions, lam: np.ndarray, lip: float) -> UpperBound | None:
    for step in STEPS:
        bound = lip * (1.0 + step)
        if 0.0 < bound < np.inf and is_positive_definite(
            conditions.lipschitz(lam, bound), slack=SLACK
        ):
            return UpperBound(bound)
    return None
