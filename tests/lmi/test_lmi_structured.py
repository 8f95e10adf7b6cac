"""The structured solver finds the least L, and says truly how near it is."""

import numpy as np
import pytest
import torch
from conv_nets import conv_lben, conv_mondeq
from cvxpy_nets import chain, closed_lip, only, solver
from hypothesis import given, settings
from hypothesis import strategies as st
from lmi_nets import block_of, largest_pattern_slope, mondeq_block, parts_with_margin
from structured_nets import best, found, holds, seeds

from certlip.blocks.dense_form import dense_form
from certlip.lmi.candidate import FAILED, INACCURATE, OPTIMAL
from certlip.lmi.problem import Problem
from certlip.lmi.solvers.structured import Structured


@settings(max_examples=4)
@given(w=st.floats(-50.0, 0.99), u=st.floats(0.01, 100.0), g=st.floats(-100.0, -0.01))
def test_a_scalar_block_has_the_slope_where_it_is_active(w, u, g):
    candidate = best(block_of([[w]], [[u]], [[g]]))
    true = -g * u / (1 - w)
    assert true * (1 - 1e-12) <= candidate.lip <= true * (1 + 2e-6)
    assert candidate.lam[0] == pytest.approx(candidate.lip * (1 - w) / u**2, rel=1e-2)
    for tol in (0.3, 1e-3):
        rough = best(block_of([[w]], [[u]], [[g]]), tol=tol)
        assert rough.lip * (1 - rough.gap) <= true <= rough.lip


@pytest.mark.parametrize("n", [1, 4])
def test_the_identity_has_one(n):
    assert best(block_of(np.zeros((n, n)), np.eye(n), np.eye(n))).lip == pytest.approx(
        1.0, rel=2e-6
    )


def test_a_difference_of_two_relus_has_one_and_never_less():
    candidate = best(block_of(np.zeros((2, 2)), [[1.0], [1.0]], [[1.0, -1.0]]))
    assert 1.0 <= candidate.lip <= 1 + 2e-6


@settings(max_examples=3)
@given(seed=seeds)
def test_units_that_do_not_meet_have_the_largest_of_their_bounds(seed):
    rng = np.random.default_rng(seed)
    w, u, g = rng.uniform(-3.0, 0.9, 4), rng.uniform(0.1, 3.0, 4), rng.uniform(0.1, 3.0, 4)
    true = (g * u / (1 - w)).max()
    candidate = best(block_of(np.diag(w), np.diag(u), np.diag(g)))
    assert true * (1 - 1e-12) <= candidate.lip <= true * (1 + 2e-6)


@settings(max_examples=3)
@given(seed=seeds, q=st.integers(1, 3), r=st.integers(1, 3))
def test_without_w_no_multiplier_does_better(seed, q, r):
    """W = 0: every Λ̃ ≻ GᵀG/2 gives a bound, and none is below what is found."""
    rng = np.random.default_rng(seed)
    W, U, G = np.zeros((3, 3)), rng.standard_normal((3, r)), rng.standard_normal((q, 3))
    candidate = best(block_of(W, U, G))
    tilde = candidate.lip * candidate.lam
    assert closed_lip(W, U, G, tilde) == pytest.approx(candidate.lip, rel=1e-5)
    for _ in range(40):
        nearby = tilde * np.exp(10.0 ** rng.uniform(-3, 0) * rng.standard_normal(3))
        assert closed_lip(W, U, G, nearby) >= candidate.lip * (1 - candidate.gap)


@pytest.mark.parametrize(("tol", "seed"), [(1e-1, 0), (1e-3, 1), (1e-6, 2), (1e-9, 3)])
def test_a_smaller_tol_is_nearer_to_the_truth(tol, seed):
    block = mondeq_block(seed)
    candidate = best(block, tol=tol)
    truth = found(block, tol=1e-11)
    assert truth.gap < 1e-10
    assert truth.lip * (1 - 1e-10) <= candidate.lip <= truth.lip * (1 + tol)
    assert candidate.iterations < truth.iterations


def assert_as_good_as(block, **options):
    """Clarabel's L lies within the gap that the structured solver says to have left."""
    ours = best(block)
    theirs = only(solver("clarabel", **options).minimise(Problem.of(block)))
    assert theirs.status in (OPTIMAL, INACCURATE)
    assert ours.lip == pytest.approx(theirs.lip, rel=1e-4)
    assert theirs.lip >= ours.lip * (1 - ours.gap) * (1 - 1e-6)
    return ours


@pytest.mark.parametrize(("seed", "n", "d", "q"), [(0, 5, 3, 2), (1, 3, 6, 4), (2, 6, 1, 1)])
def test_a_cone_solver_finds_no_less(seed, n, d, q):
    parts, _ = parts_with_margin(seed, n=n, d=d, q=q)
    block = block_of(parts["W"], parts["U"], parts["G"])
    assert assert_as_good_as(block).lip >= largest_pattern_slope(block)


def test_a_cone_solver_finds_no_less_for_a_convolution():
    assert_as_good_as(conv_mondeq(3, height=3, width=2))


@pytest.mark.parametrize(("make", "sides"), [(conv_mondeq, (2, 3)), (conv_lben, (3, 3))])
def test_a_convolution_has_the_bound_of_its_matrix(make, sides):
    """All multipliers of the matrix may differ, yet by convexity none are better than one per channel."""
    block = make(5, height=sides[0], width=sides[1])
    own = best(block)
    whole = best(*dense_form(block))
    assert own.lip == pytest.approx(whole.lip, rel=4e-6)
    assert own.lam.shape == (block.n,)


@pytest.mark.parametrize("lip", [1.3, 1.01])
def test_a_chain_is_below_the_product_of_norms(lip):
    W, U, G, product = chain((3, 5, 4, 2), 1.0)
    block = block_of(W, U, G)
    assert largest_pattern_slope(block) <= best(block).lip < product
    feasible = only(Structured().feasible(Problem.of(block), lip * best(block).lip))
    assert holds(block, feasible)


def test_layers_far_above_norm_one_need_a_metric_and_get_one():
    W, U, G, product = chain((3, 4, 4, 4, 3, 2), 30.0)
    block = block_of(W, U, G)
    assert largest_pattern_slope(block) <= best(block).lip < product


def test_rows_of_one_batch_have_the_bounds_they_have_alone():
    parts, _ = parts_with_margin(4, n=5, q=4)
    block = block_of(parts["W"], parts["U"], parts["G"])
    rows = torch.from_numpy(np.vstack([parts["G"], parts["G"][0] - parts["G"][1]]))
    rows[2] *= 1e-8
    rows[1] = 0.0
    together = Structured().minimise(Problem.of_rows(block, rows))
    assert len(together) == 5
    for row, candidate in zip(rows, together, strict=True):
        alone = only(Structured().minimise(Problem.of_rows(block, row[None])))
        one = block_of(parts["W"], parts["U"], row[None].numpy())
        assert candidate.status == alone.status == OPTIMAL
        assert holds(one, candidate, 1 + 1e-9)
        assert (row == 0.0).all() or candidate.lip == pytest.approx(alone.lip, rel=2e-6)


def test_a_feasible_l_is_asked_of_each_row():
    parts, _ = parts_with_margin(4, n=5, q=3)
    block = block_of(parts["W"], parts["U"], parts["G"])
    problem = Problem.of_rows(block, torch.from_numpy(parts["G"]))
    lips = sorted(candidate.lip for candidate in Structured().minimise(problem))
    middle = 0.5 * (lips[0] + lips[1])
    answers = Structured().feasible(problem, middle)
    assert sorted(answer.status for answer in answers) == [FAILED, FAILED, OPTIMAL]
    assert all("out of reach" in answer.message for answer in answers if answer.status == FAILED)
    assert all((answer.lam is None) == (answer.status == FAILED) for answer in answers)


@settings(max_examples=3)
@given(seed=seeds, share=st.floats(-1e-2, 1e-2))
def test_an_l_is_feasible_just_above_the_least_one_and_not_below(seed, share):
    parts, _ = parts_with_margin(seed)
    block = block_of(parts["W"], parts["U"], parts["G"])
    least = best(block).lip
    candidate = only(Structured().feasible(Problem.of(block), least * (1 + share)))
    if share > 4e-6:
        assert candidate.status == OPTIMAL
        assert candidate.lip == least * (1 + share)
        assert holds(block, candidate)
    elif share < -4e-6:
        assert candidate.status == FAILED
