"""The barrier method of chains: derivatives, dual bounds, optima that are known or found by cvxpy."""

import itertools
import math

import numpy as np
import pytest
import scipy.io
import torch
from chain_nets import chain_of, equilibrium, random_chain, random_matrices, steepest_found
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.errors import InputError
from certlip.lmi.candidate import OPTIMAL, STOPPED
from certlip.lmi.chain import analytic_chain, minimise_chain, prove_chain
from certlip.lmi.chain.newton import Directions
from certlip.lmi.chain.recursion import Inverse, Marginals, dual_bound, gradient, schur_factors
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.start import boundary, inside, tightened
from certlip.lmi.chain.windows import Windows

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.integers(1, 5), min_size=3, max_size=6)


def matrix(chain, lam, rho):
    """S in full, the output eliminated."""
    widths = [chain.A[0].shape[1], *chain.widths]
    at = np.concatenate([[0], np.cumsum(widths)])
    S = torch.zeros(int(at[-1]), int(at[-1])).double()
    for k in range(len(widths)):
        here = slice(at[k], at[k + 1])
        S[here, here] = torch.diag(2.0 * lam[k - 1]) if k else rho * torch.eye(widths[0])
        if k:
            before = slice(at[k - 1], at[k])
            S[here, before] = -lam[k - 1][:, None] * chain.A[k - 1]
            S[before, here] = S[here, before].mT
    S[here, here] -= chain.A[-1].mT @ chain.A[-1]
    return S


def point(seed, widths):
    chain = ScaledChain.of(random_chain(seed, widths))
    found = boundary(chain, None)
    assert found is not None
    lam, rho = inside(chain, *found) or found
    rng = torch.Generator().manual_seed(seed % 2**31)
    lam = [part * (1.0 + 0.1 * torch.rand(len(part), generator=rng).double()) for part in lam]
    rho = 3.0 * rho
    return chain, lam, rho, Inverse(chain, lam, schur_factors(chain, lam, rho))


@settings(deadline=None, max_examples=30)
@given(seeds, shapes)
def test_gradient_and_hessian_are_those_of_the_log_determinant(seed, widths):
    chain, lam, rho, inverse = point(seed, widths)
    flat = torch.cat([*lam, torch.tensor([rho]).double()])

    def barrier(x):
        return -torch.logdet(matrix(chain, list(x[:-1].split(chain.widths)), x[-1]))

    g = torch.cat([gradient(inverse.marginals())[0], gradient(inverse.marginals())[1][None]])
    true = torch.func.grad(barrier)(flat)  # `logdet` and its gradient are rounded as well
    torch.testing.assert_close(g, true, rtol=1e-6, atol=1e-7 * float(true.abs().max()))
    H = torch.func.hessian(barrier)(flat)
    eye = torch.eye(len(flat)).double()
    derivative = inverse.derivative(list(eye[:, :-1].split(chain.widths, -1)), eye[:, -1])
    rows = torch.cat([gradient(derivative)[0], gradient(derivative)[1][:, None]], 1)
    torch.testing.assert_close(rows, H, rtol=1e-6, atol=1e-7 * float(H.abs().max()))
    everywhere, H = Windows(inverse), H[:-1, :-1]  # one window: the inverse itself
    true = torch.randn(2, len(H)).double() * H.diagonal().rsqrt()
    error = everywhere(true @ H) - true
    assert float((error @ H * error).sum()) <= 1e-6 * float((true @ H * true).sum())


@settings(deadline=None, max_examples=40)
@given(seeds, shapes)
def test_a_dual_bound_is_below_what_is_feasible(seed, widths):
    chain, lam, rho, inverse = point(seed, widths)
    _, best = tightened(chain, lam, rho)
    assert float(dual_bound(inverse.marginals())) <= best * (1 + 1e-9)
    assert Directions.at(inverse, 1e-8).lower_bound() <= best * (1 + 1e-9)


@settings(deadline=None, max_examples=60)
@given(seeds, shapes, st.floats(-4, 0))
def test_any_positive_semidefinite_matrix_gives_a_dual_bound(seed, widths, exponent):
    """Off the central path neurons disagree, and the worst one decides."""
    chain, lam, rho, _ = point(seed, widths)
    _, best = tightened(chain, lam, rho)
    P = torch.linalg.inv(matrix(chain, lam, rho))
    B = torch.randn(P.shape, generator=torch.Generator().manual_seed(seed % 2**31)).double()
    Z = P + 10.0**exponent * P.diagonal().max() * (B @ B.mT) / len(P)
    sizes = [chain.A[0].shape[1], *chain.widths]
    rows = [row.split(sizes, 1) for row in Z.split(sizes, 0)]
    of = Marginals(
        own=[rows[k][k].diagonal() for k in range(1, len(sizes))],
        cross=[(chain.A[k - 1] @ rows[k - 1][k]).diagonal() for k in range(1, len(sizes))],
        input=rows[0][0].trace(),
        output=(chain.A[-1] @ rows[-1][-1] @ chain.A[-1].mT).trace(),
    )
    assert float(dual_bound(of)) <= best * (1 + 1e-9)


def test_overlapping_windows_find_the_same_directions(monkeypatch):
    _, _, _, inverse = point(0, [6] * 12)
    whole = Directions.at(inverse, 1e-9)
    monkeypatch.setattr("certlip.lmi.chain.windows.UNKNOWNS", 18)
    parts = Directions.at(inverse, 1e-9)
    assert whole.steps <= 3 < parts.steps < 60
    torch.testing.assert_close(whole.lam, parts.lam, rtol=1e-5, atol=1e-7)
    assert parts.a == pytest.approx(whole.a, rel=1e-6)


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


def test_progress_is_told_and_bounds_only_shrink():
    seen = []
    minimise_chain(random_chain(0, [6] * 5), progress=lambda *line: seen.append(line))
    assert [line[0] for line in seen] == list(range(len(seen)))
    assert all(b[1] <= a[1] and b[2] <= a[2] for a, b in itertools.pairwise(seen))


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
