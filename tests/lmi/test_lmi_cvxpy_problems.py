"""Solvers through cvxpy on frequencies, batches of rows, one given L, and blocks with nothing to find."""

import numpy as np
import pytest
import torch
from conv_nets import conv_mondeq
from cvxpy_nets import (
    arrays,
    definite_at,
    every_solver,
    found,
    only,
    proven,
    solver,
)
from exact import definite, lipschitz
from lmi_nets import block_of, mondeq_block

from certlip.blocks.dense_form import dense_form
from certlip.lmi.candidate import FAILED, OPTIMAL
from certlip.lmi.problem import Problem


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
