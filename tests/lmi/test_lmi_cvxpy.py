"""Solvers through cvxpy find the smallest L that is known in other ways, in any units."""

import numpy as np
import pytest
from cvxpy_nets import (
    NAMES,
    RELU_DIFFERENCE,
    arrays,
    chain,
    closed_lip,
    definite_at,
    every_solver,
    found,
    only,
    proven,
    solver,
)
from exact import definite, lipschitz
from hypothesis import given, settings
from hypothesis import strategies as st
from lmi_nets import block_of, largest_pattern_slope, mondeq_block

from certlip.lmi.problem import Problem

seeds = st.integers(0, 2**32 - 1)


@every_solver
@settings(max_examples=10)
@given(
    w=st.floats(-20.0, 0.9),
    u=st.floats(0.1, 10.0),
    g=st.floats(0.1, 10.0),
    unit=st.sampled_from([1e-6, 1.0, 1e5]),
)
def test_a_scalar_block_has_the_slope_where_it_is_active(name, w, u, g, unit):
    u, g = u * unit, g / unit**2
    block = block_of([[w]], [[u]], [[g]])
    candidate = found(name, block)
    assert candidate.lip == pytest.approx(g * u / (1 - w), rel=1e-5)
    assert proven(block, candidate, 1 + 1e-4)


@every_solver
def test_the_identity_has_one(name):
    block = block_of(np.zeros((3, 3)), np.eye(3), np.eye(3))
    candidate = found(name, block)
    assert candidate.lip == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(candidate.lam, 1.0, rtol=1e-2)


@every_solver
def test_a_difference_of_two_relus_has_one_and_never_less(name):
    candidate = found(name, RELU_DIFFERENCE)
    assert candidate.lip == pytest.approx(1.0, rel=1e-5)
    assert proven(RELU_DIFFERENCE, candidate, 1 + 1e-4)
    # the diagonal of (10) alone: 2λ ≥ (1 + λ²)/L, so that no Λ proves an L below 1
    W, U, G = arrays(RELU_DIFFERENCE)
    for lip in (1 - 1e-5, 1 - 1e-9, np.nextafter(1.0, 0.0)):
        assert not definite(lipschitz(W, U, G, candidate.lam, lip))
        assert not definite_at(RELU_DIFFERENCE, candidate.lam, lip)


@every_solver
@pytest.mark.parametrize("size", [0.3, 3.0, 30.0])
def test_a_chain_of_layers_is_proven_below_the_product_of_norms(name, size):
    *parts, product = chain([3, 5, 5, 2], size)
    block = block_of(*parts)
    candidate = found(name, block)
    assert candidate.lip < 0.9 * product
    assert candidate.lip > largest_pattern_slope(block) * (1 - 1e-4)
    assert proven(block, candidate, 1 + 1e-3)


@every_solver
@settings(max_examples=10)
@given(seed=seeds, n=st.integers(1, 5), d=st.integers(1, 7), q=st.integers(1, 3))
def test_no_multipliers_nearby_prove_less(name, seed, n, d, q):
    """The smallest L for a given Λ̃ is closed, and the problem is convex."""
    block = mondeq_block(seed, n=n, d=d, q=q)
    candidate = found(name, block)
    tilde = candidate.lam * candidate.lip
    best = closed_lip(*arrays(block), tilde)
    assert best == pytest.approx(candidate.lip, rel=1e-3)
    rng = np.random.default_rng(seed)
    for size in (1e-2, 0.1, 0.5) * 5:
        other = tilde * np.exp(size * rng.standard_normal(n))
        assert closed_lip(*arrays(block), other) > candidate.lip * (1 - 1e-4)


@every_solver
@settings(max_examples=10)
@given(seed=seeds)
def test_what_it_finds_holds_in_exact_arithmetic(name, seed):
    block = mondeq_block(seed, n=3, d=4, q=2)
    candidate = found(name, block)
    W, U, G = arrays(block)
    assert definite(lipschitz(W, U, G, candidate.lam, candidate.lip * (1 + 1e-3)))
    assert not definite(lipschitz(W, U, G, candidate.lam, candidate.lip * (1 - 1e-3)))
    assert candidate.lip > largest_pattern_slope(block) * (1 - 1e-4)


@pytest.mark.skipif(len(NAMES) < 2, reason="one solver has nobody to agree with")
@settings(max_examples=10)
@given(seed=seeds)
def test_solvers_agree(seed):
    block = mondeq_block(seed, n=6, d=3)
    one, *others = (found(name, block).lip for name in ("clarabel", "scs"))
    for other in others:
        assert other == pytest.approx(one, rel=1e-4)


@every_solver
@pytest.mark.parametrize("started", [False, True])
def test_units_of_the_states_do_not_matter(name, started):
    W, U, G, _ = chain([4, 6, 6, 3], 1.0)
    t = 10.0 ** np.random.default_rng(1).uniform(-4, 4, len(W))
    plain, other = block_of(W, U, G), block_of(W * t / t[:, None], U / t[:, None], G * t)
    wanted = found(name, plain)
    start = wanted.lam * t**2 if started else None
    again = only(solver(name).minimise(Problem.of(other), start))
    assert again.lip == pytest.approx(wanted.lip, rel=1e-4)
    assert proven(other, again, 1 + 1e-3)
