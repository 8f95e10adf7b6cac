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
from certlip.lmi.chain.centre import centred, swept
from certlip.lmi.chain.marginals import Marginals, dual_bound, inner, traces
from certlip.lmi.chain.newton import Directions
from certlip.lmi.chain.path import Path
from certlip.lmi.chain.products import Products
from certlip.lmi.chain.recursion import Pattern, completed, inverse, schur_factors
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.sliding import LAYERS, slid
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
    return chain, lam, rho, inverse(chain, lam, schur_factors(chain, lam, rho))


def pattern(chain, full):
    """The tridiagonal blocks of a symmetric matrix."""
    sizes = [chain.A[0].shape[1], *chain.widths]
    rows = [row.split(sizes, 1) for row in full.split(sizes, 0)]
    at = range(len(sizes))
    return Pattern([rows[k][k] for k in at], [rows[k][k - 1] for k in at[1:]])


def off_centre(chain, P, seed, exponent=-1.0):
    """A positive definite pattern other than that of P."""
    rng = torch.Generator().manual_seed(seed % 2**31)
    B = torch.randn(chain.order, chain.order, generator=rng).double()
    size = max(float(block.diagonal().max()) for block in P.own)
    return P.plus(1.0, pattern(chain, 10.0**exponent * size * (B @ B.mT) / len(B)))


def full_of(chain, Z):
    """The completion of a pattern as one matrix: Z_ij = Z_{i,i+1}Z_{i+1}⁻¹Z_{i+1,j}."""
    K = len(Z.below)
    rows = [[Z.own[0]] * (K + 1) for _ in range(K + 1)]
    for j in range(K + 1):
        rows[j][j] = Z.own[j]
        for i in reversed(range(j)):
            onward = torch.linalg.solve(Z.own[i + 1], Z.below[i]).mT
            rows[i][j] = onward @ rows[i + 1][j]
            rows[j][i] = rows[i][j].mT
    return torch.cat([torch.cat(row, 1) for row in rows])


@settings(deadline=None, max_examples=30)
@given(seeds, shapes)
def test_derivatives_are_those_of_the_log_determinant(seed, widths):
    chain, lam, rho, P = point(seed, widths)
    flat = torch.cat([*lam, torch.tensor([rho]).double()])

    def barrier(x):
        return -torch.logdet(matrix(chain, list(x[:-1].split(chain.widths)), x[-1]))

    by_lam, by_rho = traces(Marginals.of(chain, P.blocks))
    true = -torch.func.grad(barrier)(flat)  # `logdet` and its gradient are rounded as well
    found = torch.cat([by_lam, by_rho[None]])
    torch.testing.assert_close(found, true, rtol=1e-6, atol=1e-7 * float(true.abs().max()))
    H = torch.func.hessian(barrier)(flat)
    eye = torch.eye(len(flat)).double()
    products = Products(chain, P, P)(list(eye[:, :-1].split(chain.widths, -1)), eye[:, -1])
    by_lam, by_rho = traces(Marginals.of(chain, products))
    rows = torch.cat([by_lam, by_rho[:, None]], 1)
    torch.testing.assert_close(rows, H, rtol=1e-6, atol=1e-7 * float(H.abs().max()))
    S = matrix(chain, lam, rho)
    order = float(torch.linalg.inv(S).flatten() @ S.flatten())
    assert inner(lam, rho, Marginals.of(chain, P.blocks)) == pytest.approx(order, rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(seeds, shapes)
def test_products_are_those_of_the_dense_matrices(seed, widths):
    """The symmetric part of P S(d) Z for a Z that is not P, and the exact matrix of one window."""
    chain, lam, rho, P = point(seed, widths)
    Z = completed(off_centre(chain, P.blocks, seed))
    assert Z is not None
    full, d = full_of(chain, Z.blocks), torch.randn(sum(chain.widths) + 1).double()
    zero = [torch.zeros(w).double() for w in chain.widths]
    S = matrix(chain, list(d[:-1].split(chain.widths)), d[-1]) - matrix(chain, zero, 0.0)
    dense = torch.linalg.inv(matrix(chain, lam, rho)) @ S @ full
    true = pattern(chain, 0.5 * (dense + dense.mT))
    found = Products(chain, P, Z)([part[None] for part in d[:-1].split(chain.widths)], d[-1:])[0]
    for a, b in zip([*found.own, *found.below], [*true.own, *true.below], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6 * float(dense.abs().max()))
    eye = torch.eye(len(d) - 1).double()
    products = Products(chain, P, Z)(list(eye.split(chain.widths, -1)), eye[0] * 0.0)
    M = traces(Marginals.of(chain, products))[0]
    v = torch.randn(2, len(M)).double() * M.diagonal().rsqrt()
    error = Windows(chain, P, Z)(v @ M) - v  # one window: the inverse itself
    assert float((error @ M * error).sum()) <= 1e-6 * float((v @ M * v).sum())


@settings(deadline=None, max_examples=30)
@given(seeds, shapes)
def test_a_completion_has_a_block_tridiagonal_inverse(seed, widths):
    chain, _, _, P = point(seed, widths)
    blocks = off_centre(chain, P.blocks, seed, 0.0)
    Z = completed(blocks)
    assert Z is not None
    full = full_of(chain, blocks)
    T = torch.linalg.inv(full)
    sparse = pattern(chain, T)
    scale = torch.outer(T.diagonal().sqrt(), T.diagonal().sqrt())
    kept = torch.block_diag(*[torch.ones_like(block) for block in sparse.own])
    at = np.cumsum([0, *[len(block) for block in sparse.own]])
    for k, block in enumerate(sparse.below):
        kept[at[k + 1] : at[k + 1] + len(block), at[k] : at[k + 1]] = 1.0
    assert float(((1.0 - torch.maximum(kept, kept.mT)) * (T / scale)).abs().max()) < 1e-5
    for k, J in enumerate(Z.J[:-1]):
        own = Z.E[k] @ blocks.own[k + 1] @ Z.E[k].mT + J
        torch.testing.assert_close(own, blocks.own[k], rtol=1e-9, atol=1e-9)


def test_what_is_not_positive_definite_has_no_completion():
    """Every diagonal block is fine; only together with its neighbour it is not."""
    eye = torch.eye(2).double()
    assert completed(Pattern([eye] * 3, [0.9 * eye] * 2)) is not None
    assert completed(Pattern([eye] * 3, [0.9 * eye, 1.1 * eye])) is None
    assert completed(Pattern([eye, eye, -eye], [0.9 * eye, 0.0 * eye])) is None


@settings(deadline=None, max_examples=60)
@given(seeds, shapes, st.floats(-4, 1))
def test_any_positive_semidefinite_matrix_gives_a_dual_bound(seed, widths, exponent):
    """Off the central path neurons disagree."""
    chain, lam, rho, P = point(seed, widths)
    _, best = tightened(chain, lam, rho)
    assert 0.0 < dual_bound(chain, P.blocks) <= best * (1 + 1e-9)
    assert dual_bound(chain, off_centre(chain, P.blocks, seed, exponent)) <= best * (1 + 1e-9)


def test_a_neuron_that_moves_against_its_input_counts_as_dead():
    """No scaling of its state but 0 makes diag(AZ_01) ≥ diag(Z_11)."""
    chain = ScaledChain.of(chain_of([np.array([[1.0], [1.0]]), np.array([[1.0, 1.0]])]))
    own = [torch.eye(1).double(), torch.eye(2).double()]
    Z = Pattern(own, [torch.tensor([[0.5], [-0.5]]).double()])
    assert completed(Z) is not None
    gains = [float(A[0, 0]) ** 2 for A in chain.A]
    assert dual_bound(chain, Z) == pytest.approx(0.25 * gains[0] * gains[1])


@settings(deadline=None, max_examples=30)
@given(seeds, shapes)
def test_a_full_step_makes_the_dual_feasible(seed, widths):
    """tr(∂S/∂x Z) is the objective's coefficient after it, for every μ that it aims at."""
    chain, _, _, P = point(seed, widths)
    Z = completed(off_centre(chain, P.blocks, seed))
    assert Z is not None
    directions = Directions.at(chain, P, Z, 1e-9)
    for mu in (0.0, 0.3):
        step = directions.step(mu)
        by_lam, by_rho = traces(Marginals.of(chain, Z.blocks.plus(1.0, step.Z)))
        size = float(torch.cat([b.diagonal() for b in Z.blocks.own]).abs().max())
        assert float(by_lam.abs().max()) <= 1e-5 * max(size, 1.0)
        assert float(by_rho) == pytest.approx(1.0, abs=1e-5 * max(size, 1.0))


def test_overlapping_windows_find_the_same_directions(monkeypatch):
    chain, _, _, P = point(0, [6] * 12)
    whole = Directions.at(chain, P, P, 1e-9)
    monkeypatch.setattr("certlip.lmi.chain.windows.UNKNOWNS", 18)
    parts = Directions.at(chain, P, P, 1e-9)
    assert whole.steps <= 3 < parts.steps < 60
    torch.testing.assert_close(whole.lam, parts.lam, rtol=1e-5, atol=1e-7)


@settings(deadline=None, max_examples=20)
@given(seeds, shapes)
def test_sweeps_lower_the_barrier_down_to_the_central_path(seed, widths):
    """ρ/μ − log det S, whose only stationary point has tr(∂S/∂x P) = (0, 1/μ)."""
    chain, lam, rho, _ = point(seed, widths)
    mu = 0.5 * rho / chain.order

    def barrier(lam, rho):
        return rho / mu - float(torch.logdet(matrix(chain, lam, rho)))

    values = [barrier(lam, rho)]
    for _ in range(40):
        moved = swept(chain, lam, rho, mu)
        assert moved is not None
        lam, rho = moved
        values.append(barrier(lam, rho))
    # a layer's last Newton step has length 1 and may end a little past its maximum
    assert all(b <= a + 1e-5 for a, b in itertools.pairwise(values))
    P = inverse(chain, lam, schur_factors(chain, lam, rho))
    by_lam, by_rho = traces(Marginals.of(chain, P.blocks))
    assert float(by_rho) * mu == pytest.approx(1.0, rel=0.1)
    assert float((by_lam * torch.cat(lam)).abs().max()) < 0.5


def test_a_centred_start_is_nearer_to_the_dual():
    """The gap of P after three sweeps, beside that of the closed form."""
    chain = ScaledChain.of(random_chain(1, [9] * 7))
    best = boundary(chain, None)
    assert best is not None
    start = inside(chain, *best)
    assert start is not None
    before, after = Path(chain, best, start), Path(chain, best, centred(chain, start))
    assert after.gap < 0.05 * before.gap


@pytest.mark.parametrize("depth", [LAYERS + 1, 2 * LAYERS, 3 * LAYERS + 1])
def test_windows_of_layers_join_to_a_point_near_the_optimum(depth):
    chain = ScaledChain.of(random_chain(1, [9] * (depth + 2)))
    best, interior = slid(chain, lambda: False)
    assert interior is not None
    assert best is interior
    assert schur_factors(chain, *interior) is not None
    optimum = minimise_chain(random_chain(1, [9] * (depth + 2)))
    closed = boundary(chain, None)
    reached = math.sqrt(tightened(chain, *interior)[1]) * chain.scale()
    assert optimum.lip * (1 - 1e-9) <= reached <= 1.3 * optimum.lip
    assert closed is not None
    assert interior[1] < 0.5 * closed[1]


def test_windows_that_are_stopped_end_in_closed_form():
    """However far they got, what is joined is feasible."""
    chain = ScaledChain.of(random_chain(1, [7] * (3 * LAYERS)))
    looks = itertools.count()  # at the clock
    slid(chain, lambda: next(looks) < 0)
    total, found = next(looks), []
    for last in (0, total // 4, total // 2, total - 2):
        left = iter(range(last))
        best, interior = slid(chain, lambda left=left: next(left, None) is None)
        assert interior is None
        assert best is not None
        lam, rho = tightened(chain, *best)
        assert rho <= best[1] * (1 + 1e-9)
        assert schur_factors(chain, lam, rho * (1 + 1e-6)) is not None
        found.append(rho)
    assert found[-1] < found[0]


def test_a_path_gets_better_from_step_to_step():
    chain = ScaledChain.of(random_chain(3, [4, 6, 6, 6, 3]))
    best = boundary(chain, None)
    assert best is not None
    path = Path(chain, best, inside(chain, *best) or best)
    seen = [(path.best_rho, path.lower)]
    while path.gap > 1e-4:
        assert path.advance()
        seen.append((path.best_rho, path.lower))
    assert all(b[0] <= a[0] and b[1] >= a[1] for a, b in itertools.pairwise(seen))
    assert len(seen) < 25
    rho = path.rho
    assert path.advance(centring=True)
    assert path.rho == pytest.approx(rho, rel=0.1)


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


@pytest.mark.parametrize("depth", [5, 2 + LAYERS + 2])
def test_progress_is_told_and_bounds_only_shrink(depth):
    seen = []
    chain = random_chain(0, [6] * depth)
    found = minimise_chain(chain, progress=lambda *line: seen.append(line))
    windows = 0 if depth - 2 <= LAYERS else 2
    assert len(seen) == windows + found.iterations
    assert all(math.isinf(line[2]) for line in seen[:windows])
    assert [line[0] for line in seen] == list(range(len(seen)))
    assert all(b[1] <= a[1] and b[2] <= a[2] for a, b in itertools.pairwise(seen))


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
