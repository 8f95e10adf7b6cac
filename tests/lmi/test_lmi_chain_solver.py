"""The solver of chains: optima that are known or found by cvxpy, limits, what it refuses."""

import itertools
import math

import numpy as np
import pytest
import scipy.io
from chain_algebra import seeds, shapes
from chain_nets import chain_of, equilibrium, random_chain, random_matrices, steepest_found
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.errors import InputError
from certlip.lmi.candidate import OPTIMAL, STOPPED
from certlip.lmi.chain import analytic_chain, minimise_chain, prove_chain, raised
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.sliding import LAYERS
from certlip.lmi.chain.start import boundary, inside


def by_cvxpy(matrices):
    """L of the same program, in full, by Clarabel."""
    cp = pytest.importorskip("cvxpy")
    pytest.importorskip("clarabel")
    widths = [A.shape[0] for A in matrices[:-1]]
    at = np.concatenate([[0], np.cumsum(widths)])
    n, p = at[-1], matrices[0].shape[1]
    block = equilibrium(chain_of(matrices))
    W, U, G = block.W.numpy(), block.U.numpy(), block.G.numpy()
    lam, rho = cp.Variable(n, nonneg=True), cp.Variable()
    L = cp.diag(lam)
    M = 2 * L - L @ W - W.T @ L - G.T @ G
    S = cp.bmat([[M, L @ U], [U.T @ L, rho * np.eye(p)]])
    cp.Problem(cp.Minimize(rho), [(S + S.T) / 2 >> 0]).solve(solver=cp.CLARABEL)
    return math.sqrt(rho.value)


@pytest.mark.parametrize(
    ("seed", "widths"),
    [(0, [3, 8, 8, 2]), (1, [8, 8, 8, 8, 8, 3]), (2, [5, 12, 2, 12, 4]), (3, [16, 4, 9, 1])],
)
def test_the_optimum_is_that_of_cvxpy(seed, widths):
    matrices = random_matrices(seed, widths)
    found = minimise_chain(chain_of(matrices), tol=1e-7)
    assert found.status == OPTIMAL
    assert found.lip == pytest.approx(by_cvxpy(matrices), rel=1e-5)


@pytest.mark.parametrize(
    ("file", "lip"), [("lipsdp_mnist_weights.mat", 24.3663), ("lipsdp_random_weights.mat", 36.4822)]
)
def test_published_networks_are_proven_at_their_optimum(shared_data, file, lip):
    weights = scipy.io.loadmat(shared_data / "models" / file)["weights"][0]
    chain = chain_of([np.asarray(A, dtype=np.float64) for A in weights])
    found = minimise_chain(chain)
    assert found.status == OPTIMAL
    assert found.gap <= 1e-5
    proven = prove_chain(chain, found.lam, found.lip).value
    assert proven == pytest.approx(lip, rel=1e-5)
    if "random" in file:  # nonnegative weights: the product is attained
        exact = np.linalg.norm(np.linalg.multi_dot(list(weights)[::-1]), 2)
        assert exact <= proven <= exact * (1 + 1.1e-5)


@pytest.mark.parametrize("gain", [1.0, 8.0])
def test_deep_chains_are_solved_and_proven(gain):
    """Depth 20, with norms whose product is far from 1."""
    matrices = random_matrices(5, [8] * 21, gain)
    found = minimise_chain(chain_of(matrices))
    assert found.status == OPTIMAL
    proven = prove_chain(chain_of(matrices), found.lam, found.lip).value
    assert proven <= found.lip * (1 + 1e-6)
    assert steepest_found(matrices, 0) <= proven < 0.5 * analytic_chain(chain_of(matrices)).lip


@settings(deadline=None, max_examples=15)
@given(seeds, shapes, st.integers(-60, 60))
def test_every_small_chain_is_solved_in_any_units(seed, widths, exponent):
    matrices = random_matrices(seed, widths)
    units = [2.0**exponent, *[1.0] * (len(matrices) - 2), 2.0 ** (exponent // 3)]
    scaled = [A * unit for A, unit in zip(matrices, units, strict=True)]
    found = minimise_chain(chain_of(scaled))
    assert found.status == OPTIMAL
    assert found.lip <= analytic_chain(chain_of(scaled)).lip * (1 + 1e-9)
    same = minimise_chain(chain_of(matrices))
    assert found.lip == pytest.approx(same.lip * math.prod(units), rel=3e-5)
    assert prove_chain(chain_of(scaled), found.lam, found.lip).value <= found.lip * (1 + 1e-6)


def test_dead_neurons_and_narrow_layers():
    """A row of zeros has no largest multiplier, a column of zeros no smallest."""
    matrices = random_matrices(2, [4, 6, 6, 2])
    whole = minimise_chain(chain_of(matrices)).lip
    for k, rows, columns in ((1, [2], []), (1, [], [2]), (0, [0, 1], []), (2, [], [3, 4])):
        dead = [A.copy() for A in matrices]
        dead[k][rows] = 0.0
        dead[k][:, columns] = 0.0
        found = minimise_chain(chain_of(dead))
        assert found.status == OPTIMAL, (k, rows, columns)
        proven = prove_chain(chain_of(dead), found.lam, found.lip).value
        assert steepest_found(dead, 1) <= proven <= whole * (1 + 1e-4)


def test_a_stopped_solver_answers_with_a_feasible_point():
    chain = random_chain(0, [8] * 8)
    found = minimise_chain(chain, max_seconds=0.0)
    assert found.status == STOPPED
    assert found.lip <= analytic_chain(chain).lip * (1 + 1e-9)
    assert prove_chain(chain, found.lam, found.lip).value <= found.lip * (1 + 1e-6)


def test_a_start_that_is_optimal_stays_so():
    chain = random_chain(4, [5, 6, 6, 2])
    first = minimise_chain(chain)
    again = minimise_chain(chain, start=first.lam, max_seconds=0.0)
    assert again.lip == pytest.approx(first.lip, rel=1e-4)


@pytest.mark.parametrize("rounds", [400, 10, 0])
@pytest.mark.parametrize("depth", [5, 2 + LAYERS + 2])
def test_progress_is_told_and_bounds_only_shrink(depth, rounds, monkeypatch):
    monkeypatch.setattr(raised, "ROUNDS", rounds)
    seen = []
    chain = random_chain(0, [6] * depth)
    found = minimise_chain(chain, tol=1e-6, progress=lambda *line: seen.append(line))
    if rounds == 400:
        assert len(seen) == found.iterations // raised.LOOK < rounds // raised.LOOK
    else:
        windows = 0 if depth - 2 <= LAYERS else 2
        assert found.iterations > rounds
        assert len(seen) == rounds // raised.LOOK + windows + found.iterations - rounds
    assert [line[0] for line in seen] == list(range(len(seen)))
    assert all(b[1] <= a[1] and b[2] <= a[2] for a, b in itertools.pairwise(seen))
    assert seen[-1][2] <= 1e-6


def test_a_very_deep_chain_does_not_leave_the_range_of_doubles():
    """Each layer takes a factor from what norms promise: with norms of 1, ρ would be 0 here."""
    scaled = ScaledChain.of(random_chain(0, [6] * 2000, 0.7))
    closed = boundary(scaled, None)
    assert closed is not None
    assert 0.0 < closed[1] <= 1.0 + 1e-9
    lam, lip = scaled.multipliers(*closed)
    assert np.isfinite(lam).all()
    assert (lam > 0.0).all()
    assert 0.0 < lip < math.inf
    assert inside(scaled, *closed) is not None


def test_nothing_to_find():
    A = np.random.default_rng(0).normal(size=(3, 4))
    assert minimise_chain(chain_of([A])).lip == pytest.approx(np.linalg.norm(A, 2))
    constant = minimise_chain(chain_of([A, np.zeros((2, 3))]))
    assert (constant.lam, constant.lip) == (None, 0.0)


@pytest.mark.parametrize("start", [np.ones(2), np.array([1.0, -1.0, 1.0]), np.full(3, np.nan)])
def test_a_start_that_is_none_is_refused(start):
    with pytest.raises(InputError, match="start"):
        minimise_chain(random_chain(0, [2, 3, 2]), start=start)


@pytest.mark.parametrize("tol", [0.0, -1.0, np.nan])
def test_a_tolerance_that_is_none_is_refused(tol):
    with pytest.raises(InputError, match="tol"):
        minimise_chain(random_chain(0, [2, 3, 2]), tol=tol)
