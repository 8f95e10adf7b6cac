"""Solvers through cvxpy find the smallest L that is known in other ways; no word of theirs is a proof."""

import math

import numpy as np
import pytest
import torch
from conv_nets import conv_mondeq
from cvxpy_nets import (
    NAMES,
    chain,
    closed_lip,
    definite_at,
    every_solver,
    only,
    proven,
    solver,
)
from exact import definite, lipschitz
from hypothesis import given, settings
from hypothesis import strategies as st
from lmi_nets import block_of, largest_pattern_slope, mondeq_block

from certlip.blocks.dense_form import dense_form
from certlip.lmi.candidate import FAILED, INACCURATE, OPTIMAL
from certlip.lmi.problem import Problem
from certlip.lmi.solvers.clarabel import Clarabel
from certlip.lmi.solvers.through_cvxpy import Answer

seeds = st.integers(0, 2**32 - 1)
RELU_DIFFERENCE = block_of(np.zeros((2, 2)), [[1.0], [1.0]], [[1.0, -1.0]])  # relu(x) − relu(x − 1)


def arrays(block):
    return block.W.numpy(), block.U.numpy(), block.G.numpy()


def found(name, block, **options):
    candidate = only(solver(name, **options).minimise(Problem.of(block)))
    # of blocks per frequency half are conjugates of others: "almost solved" to 1e-8 is all it takes
    assert candidate.status in (OPTIMAL, INACCURATE), candidate.message
    assert candidate.solver == name
    assert candidate.iterations > 0
    assert candidate.seconds > 0
    assert candidate.gap is not None
    assert 0 <= candidate.gap < 1e-2
    return candidate


# --- what is known in closed form ----------------------------------------------------------------


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


# --- optimal, whatever the units -----------------------------------------------------------------


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


# --- frequencies and batches ---------------------------------------------------------------------


@every_solver
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3), (2, 2), (3, 2)])
def test_a_convolution_has_the_bound_of_its_matrix(name, height, width):
    """Averaging Λ over the pixels keeps (10): one multiplier per channel loses nothing."""
    block = conv_mondeq(seed=height, n=2, c=2, q=1, height=max(height, 2), width=max(width, 2))
    (dense,) = dense_form(block)
    candidate = found(name, block)
    assert candidate.lam.shape == (2,)
    assert candidate.lip == pytest.approx(found(name, dense).lip, rel=1e-4)
    assert proven(block, candidate, 1 + 1e-3)
    written_out = np.repeat(candidate.lam, block.pixels)
    assert definite_at(dense, written_out, candidate.lip * (1 + 1e-3))
    assert not definite_at(dense, written_out, candidate.lip * (1 - 1e-3))


@every_solver
def test_each_row_of_a_batch_is_a_problem_of_its_own(name):
    block = mondeq_block(3, n=5, q=3)
    W, U, G = arrays(block)
    rows = np.concatenate([G, G[:1] - G[1:2]])
    batch = solver(name).minimise(Problem.of_rows(block, torch.from_numpy(rows)))
    assert len(batch) == 4
    for row, candidate in zip(rows, batch, strict=True):
        alone = block_of(W, U, row[None])
        assert candidate.lip == pytest.approx(found(name, alone).lip, rel=1e-5)
        assert proven(alone, candidate, 1 + 1e-3)
    assert max(c.lip for c in batch[:3]) < found(name, block).lip


# --- one given L ---------------------------------------------------------------------------------


@every_solver
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_a_possible_l_is_proven_as_it_is_and_an_impossible_one_fails(name, size):
    block = mondeq_block(5, n=5)
    W, U, G = arrays(block)
    block = block_of(W, size * U, G / size**2)
    problem, best = Problem.of(block), found(name, block).lip
    for factor in (1.01, 2.0, 100.0):
        candidate = only(solver(name).feasible(problem, factor * best))
        assert candidate.status == OPTIMAL
        assert candidate.lip == factor * best
        assert proven(block, candidate)
    candidate = only(solver(name).feasible(problem, 0.98 * best))
    assert (candidate.status, candidate.lam) == (FAILED, None)
    assert "no multipliers for L" in candidate.message


@every_solver
def test_negative_multipliers_are_no_answer(name):
    """W = 2, λ = −1 makes M positive, of an equation that has two solutions or none."""
    problem = Problem.of(block_of([[2.0]], [[0.1]], [[0.1]]))
    smallest, at_one = (
        only(solver(name).minimise(problem)),
        only(solver(name).feasible(problem, 1.0)),
    )
    assert (smallest.status, smallest.lam) == (FAILED, None)
    assert "nfeas" in smallest.message  # the solver was told that λ > 0
    assert (at_one.status, at_one.lam) == (FAILED, None)
    assert "no multipliers for L = 1.0" in at_one.message


@every_solver
def test_an_ill_posed_unit_that_the_output_does_not_read_is_not_proven(name):
    """Multipliers of 1e-11 violate (3) by less than solvers notice: some of them say "almost solved"."""
    block = block_of(np.diag([0.0, 2.0]), np.eye(2), [[1.0, 0.0]])
    for candidate in (
        only(solver(name).minimise(Problem.of(block))),
        only(solver(name).feasible(Problem.of(block), 2.0)),
    ):
        if candidate.lam is not None:
            assert not any(proven(block, candidate, factor) for factor in (1.0, 1.1, 1e3))
            assert not definite(lipschitz(*arrays(block), candidate.lam, 2 * candidate.lip))


@every_solver
def test_units_that_nothing_reads_still_get_a_multiplier(name):
    block = block_of(np.diag([0.5, 0.5]), [[1.0], [1.0]], [[1.0, 0.0]])
    candidate = found(name, block)
    assert candidate.lip == pytest.approx(2.0, rel=1e-4)
    assert proven(block, candidate, 1 + 1e-3)


@every_solver
@pytest.mark.parametrize(("u", "g"), [(0.0, 1.0), (1.0, 0.0)])
def test_a_constant_map_gets_a_tiny_bound(name, u, g):
    block = block_of([[0.5]], [[u]], [[g]])
    candidate = only(solver(name).minimise(Problem.of(block)))
    assert 0 < candidate.lip < 1e-2
    assert proven(block, candidate, 1 + 1e-3)


# --- a word is no evidence -----------------------------------------------------------------------


class Liar(Clarabel):
    """Says "solved" to whatever it was told to answer."""

    def __init__(self, mu, value):
        super().__init__()
        self.lie = Answer(OPTIMAL, "Solved", 1, np.asarray(mu), value)

    def answer(self, program, end):
        return self.lie


def test_an_optimum_that_is_none_is_refused_by_the_proof():
    best = found("clarabel", RELU_DIFFERENCE)
    lie = only(Liar([1.0, 1.0], 0.01).minimise(Problem.of(RELU_DIFFERENCE)))
    assert lie.status == OPTIMAL
    assert lie.lam is not None
    assert lie.lip < 0.5 * best.lip
    assert not proven(RELU_DIFFERENCE, lie)
    assert not definite(lipschitz(*arrays(RELU_DIFFERENCE), lie.lam, lie.lip))


@pytest.mark.parametrize(
    ("mu", "value"),
    [
        ([1.0, np.nan], 1.0),
        ([1.0, np.inf], 1.0),
        ([1.0, 0.0], 1.0),
        ([1.0, -1.0], 1.0),
        ([1.0], 1.0),
        ([[1.0, 1.0]], 1.0),
        ([1.0, 1.0], math.nan),
        ([1.0, 1.0], math.inf),
        ([1.0, 1.0], 0.0),
        ([1.0, 1.0], -1.0),
    ],
)
def test_what_could_not_be_multipliers_is_a_failure(mu, value):
    solver("clarabel")
    liar, problem = Liar(mu, value), Problem.of(RELU_DIFFERENCE)
    candidates = [only(liar.minimise(problem))]
    if not 0.0 <= abs(value) < math.inf or mu != [1.0, 1.0]:  # at a given L the value is a margin
        candidates.append(only(liar.feasible(problem, 1.0)))
    for candidate in candidates:
        assert (candidate.status, candidate.lam) == (FAILED, None)
        assert "but" in candidate.message


def test_numbers_that_overflow_are_a_failure():
    block = block_of(np.zeros((2, 2)), np.full((2, 1), 1e300), np.full((1, 2), 1e300))
    candidate = only(solver("clarabel").minimise(Problem.of(block)))
    assert (candidate.status, candidate.lam) == (FAILED, None)
    assert "overflow" in candidate.message
