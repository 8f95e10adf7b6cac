"""Candidates of the structured solver, and whether they are proven."""

from cvxpy_nets import only
from hypothesis import strategies as st
from lmi_nets import parts_with_margin

from certlip.lmi.candidate import OPTIMAL
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.problem import Problem
from certlip.lmi.solvers.structured import Structured

seeds = st.integers(0, 2**32 - 1)


def found(block, start=None, **options):
    return only(Structured(**options).minimise(Problem.of(block), start))


def best(block, **options):
    """The candidate, which must be proven at its L and be as near to the least one as asked."""
    candidate = found(block, **options)
    assert candidate.status == OPTIMAL, candidate.message
    assert candidate.solver == "structured"
    assert candidate.iterations > 0
    assert candidate.gap <= options.get("tol", 1e-6)
    assert holds(block, candidate, 1 + 1e-9)
    return candidate


def holds(block, candidate, factor=1.0):
    lip = candidate.lip * factor
    return Everywhere(block).definite(lambda each: each.lipschitz(candidate.lam, lip))


def margin_block(seed=3):
    parts, _ = parts_with_margin(seed)
    return parts["W"], parts["U"], parts["G"]
