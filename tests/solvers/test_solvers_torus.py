"""Solvers on circulant operators: the same numbers as on the dense matrix of the same operator."""

import numpy as np
import pytest
import torch

from certlip.blocks.activations import Sigma, activation
from certlip.errors import InputError
from certlip.linalg.operators import Circulant, Dense, Stencil
from certlip.linalg.torus import Torus
from certlip.solvers import (
    SOLVERS,
    ForwardBackward,
    GaussSeidel,
    PeacemanRachford,
    Substitution,
    equilibrium,
    solver_for,
)

CHANNELS, ROWS = 4, 6
KINDS = ["relu", "tanh", "identity"]


def kernel(name, seed=0, shape=(3, 3)):
    """A kernel W (4, 4, kh, kw): monotone, strictly lower in the channels, or nearly so."""
    rng = np.random.default_rng(seed)
    K = torch.from_numpy(rng.normal(size=(CHANNELS, CHANNELS, *shape))) * 0.1
    if name == Substitution.name:
        return K * torch.ones(CHANNELS, CHANNELS, dtype=K.dtype).tril(-1)[..., None, None]
    if name == GaussSeidel.name:
        lower = torch.zeros(CHANNELS, CHANNELS, dtype=K.dtype)
        lower[2:, :2] = 3.0
        return K * (lower + 0.02)[..., None, None]
    return 0.3 * K - torch.nn.functional.pad(
        0.5 * torch.eye(CHANNELS, dtype=K.dtype)[..., None, None], (1, 1, 1, 1)
    )


def sigma(torus):
    kinds = [activation(name) for name in KINDS]
    counts = [torus.pixels, 2 * torus.pixels, torus.pixels]
    return Sigma(tuple(zip(kinds, counts, strict=True)))


def dense(operator):
    return operator.apply(torch.eye(operator.in_width, dtype=operator.dtype)).mT.contiguous()


@pytest.mark.parametrize("size", [(3, 3), (4, 5)])
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_a_circulant_is_solved_as_its_matrix_is(name, size):
    torus = Torus(*size)
    W = Stencil(kernel(name), torus)
    solver = SOLVERS[name](W, sigma(torus))
    c = torch.from_numpy(np.random.default_rng(1).normal(size=(ROWS, W.out_width)))
    solution = solver.solve(c)
    assert solution.converged
    reference = PeacemanRachford(dense(W), sigma(torus)).solve(c)
    torch.testing.assert_close(solution.z, reference.z, rtol=0, atol=1e-9)
    z = solution.z
    exact = (z - sigma(torus).forward(z @ dense(W).T + c)).norm(dim=1)
    assert (exact <= 1e-10 * (1 + z.norm(dim=1))).all()
    torch.testing.assert_close(solution.residual, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_the_adjoint_on_a_torus_solves_the_dense_system(name):
    torus = Torus(3, 4)
    W = Circulant.of(kernel(name), torus)
    rng = np.random.default_rng(2)
    J = torch.from_numpy(rng.uniform(size=(ROWS, W.out_width)))
    g = torch.from_numpy(rng.normal(size=(ROWS, W.out_width)))
    v = SOLVERS[name](W, sigma(torus)).adjoint(J, g)
    A, eye = dense(W), torch.eye(W.out_width, dtype=torch.float64)
    for row in range(ROWS):
        w = torch.linalg.solve((eye - J[row][:, None] * A).T, g[row])
        torch.testing.assert_close(v[row], J[row] * w, rtol=0, atol=1e-8)


def test_the_solver_is_chosen_by_the_structure_of_the_channels():
    torus = Torus(4, 4)
    for name in (Substitution.name, GaussSeidel.name, PeacemanRachford.name):
        assert solver_for(Stencil(kernel(name), torus), sigma(torus)).name == name


@pytest.mark.parametrize("name", ["peaceman-rachford", "forward-backward", "anderson"])
@pytest.mark.parametrize("torus", [None, Torus(3, 4)], ids=["dense", "torus"])
def test_a_metric_changes_the_path_and_not_the_solution(name, torus):
    """W = I − Ψ(AᵀA + mI): (3) holds with Γ = Ψ⁻¹ of very different entries, not with Γ = I."""
    rng = np.random.default_rng(3)
    scale = torch.tensor([1e-2, 1.0, 30.0, 0.3], dtype=torch.float64)
    A = torch.from_numpy(rng.normal(size=(CHANNELS, CHANNELS))) * 0.7
    eye = torch.eye(CHANNELS, dtype=torch.float64)
    B = torch.from_numpy(rng.normal(size=(CHANNELS, CHANNELS)))
    W = eye - scale[:, None] * (A.T @ A + 0.2 * eye + B - B.T)
    width = CHANNELS if torus is None else CHANNELS * torus.pixels
    operator = Dense(W) if torus is None else Stencil(W[..., None, None], torus)
    s = Sigma.of(activation("tanh"), width)
    c = torch.from_numpy(rng.normal(size=(ROWS, width)))
    solver = SOLVERS[name](operator, s, metric=1.0 / scale, max_iter=20000)
    solution = solver.solve(c)
    assert solution.converged
    residual = (solution.z - s.forward(operator.apply(solution.z) + c)).norm(dim=1)
    assert (residual <= 2e-11 * (1 + solution.z.norm(dim=1))).all()
    J, g = torch.from_numpy(rng.uniform(size=c.shape)), torch.randn_like(c)
    v = solver.adjoint(J, g)
    assert (v - J * (g + operator.adjoint(v))).norm(dim=1).max() < 1e-8


@pytest.mark.parametrize("bad", [[1.0, 0.0, 1.0, 1.0], [1.0, 1.0], [1.0, -1.0, 1.0, 1.0]])
def test_a_metric_is_positive_per_unit(bad):
    W = torch.zeros(CHANNELS, CHANNELS, dtype=torch.float64)
    with pytest.raises(InputError, match="positive numbers, one per unit"):
        PeacemanRachford(W, Sigma.of(activation("relu"), CHANNELS), metric=torch.tensor(bad))


class Counting(Dense):
    """Counts the rows it is applied to."""

    def __init__(self, A):
        super().__init__(A)
        self.rows = 0

    def apply(self, x):
        self.rows += len(x)
        return super().apply(x)


@pytest.mark.parametrize(("solver", "alpha"), [(ForwardBackward, 2e-3), (PeacemanRachford, 2e-2)])
def test_converged_rows_stop_costing(solver, alpha):
    """One hard row among easy ones: with `compact` it goes on alone, to the same solution."""
    torch.manual_seed(0)
    A = 0.5 * torch.randn(6, 6, dtype=torch.float64)
    W = 0.98 * torch.eye(6, dtype=torch.float64) - A.T @ A
    s = Sigma.of(activation("tanh"), 6)
    c = torch.zeros(40, 6, dtype=torch.float64)
    c[7] = 0.5
    counts, results = [], []
    for compact in (True, False):
        operator = Counting(W)
        results.append(solver(operator, s, alpha=alpha, compact=compact).solve(c))
        counts.append(operator.rows)
    assert results[0].converged
    assert results[1].converged
    assert counts[0] < counts[1] / 5
    torch.testing.assert_close(results[0].z, results[1].z, rtol=0, atol=1e-9)


def test_absolute_and_relative_tolerances():
    W, s = torch.zeros(2, 2, dtype=torch.float64), Sigma.of(activation("tanh"), 2)
    solver = ForwardBackward(W, s, tol=1e-3, atol=0.5)
    size, residual = torch.tensor([0.0, 1000.0, 1000.0]), torch.tensor([0.5, 1.5, 1.6])
    assert solver.accepts(size, residual).tolist() == [True, True, False]
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="tol ="):
            ForwardBackward(W, s, tol=bad)
        with pytest.raises(InputError, match="atol ="):
            ForwardBackward(W, s, atol=bad)
    with pytest.raises(InputError, match="σ has 2 coordinates, W has 3 rows"):
        ForwardBackward(torch.zeros(3, 3, dtype=torch.float64), s)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_gradients_in_a_kernel_equal_those_of_an_unrolled_solve(name):
    torus = Torus(3, 3)
    K = kernel(name)
    c = torch.from_numpy(np.random.default_rng(5).normal(size=(3, CHANNELS * torus.pixels)))
    weight = torch.from_numpy(np.random.default_rng(6).normal(size=c.shape))
    grads = []
    for implicit in (True, False):
        k, b = K.clone().requires_grad_(), c.clone().requires_grad_()
        W = Circulant.of(k, torus)
        if implicit:
            z, _ = equilibrium(W, b, SOLVERS[name](W.detach(), sigma(torus), tol=1e-13))
        else:
            z = torch.zeros_like(b)
            for _ in range(400):
                z = z + 0.5 * (sigma(torus).forward(W.apply(z) + b) - z)
        (z * weight).sum().backward()
        assert k.grad is not None
        assert b.grad is not None
        grads.append((k.grad, b.grad))
    for one, two in zip(*grads, strict=True):
        assert (one - two).norm() <= 1e-6 * two.norm()


def perturbed(torus, size=1.0, seed=7):
    """A triangular kernel and a constant one: far from triangular at frequency 0 alone, (3) with Γ = I."""
    rng = np.random.default_rng(seed)
    K = torch.zeros(CHANNELS, CHANNELS, torus.height, torus.width, dtype=torch.float64)
    middle = slice(torus.height // 2 - 1, torus.height // 2 + 2)
    K[2:, :2, middle, middle] = torch.from_numpy(rng.normal(size=(2, 2, 3, 3))) * 0.5
    A = torch.from_numpy(rng.normal(size=(CHANNELS, CHANNELS)))
    mean = -size * (A.mT @ A) / CHANNELS + 0.5 * size * (A - A.mT)
    return K + mean[..., None, None] / torus.pixels


@pytest.mark.parametrize("on_torus", [True, False])
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_corrected_sweeps_converge_where_plain_ones_do_not(name, on_torus, monkeypatch):
    torus = Torus(9, 9)
    W = Circulant.of(perturbed(torus, 2.0), torus) if on_torus else Dense(rank_one())
    s = Sigma.of(activation(name), W.out_width)
    c = torch.from_numpy(np.random.default_rng(8).normal(size=(ROWS, W.out_width)))
    solver = GaussSeidel(W, s)
    assert solver.corrected
    built = []
    original = type(solver.sweep).correction
    monkeypatch.setattr(
        type(solver.sweep),
        "correction",
        lambda *a, **k: built.append(k.get("adjoint", False)) or original(*a, **k),
    )
    solution = solver.solve(c)
    reference = PeacemanRachford(dense(W), s).solve(c)
    assert solution.converged
    assert "fallbacks" not in vars(solver)  # nothing was rescued
    torch.testing.assert_close(solution.z, reference.z, rtol=0, atol=1e-9)
    # the averaged slopes of the first call serve the next ones
    count = len(built)
    again = solver.solve(c + 1e-3)
    assert again.converged
    assert len(built) == count
    # without a correction rows are on their own: secant steps are enough, or the splitting is
    plain = GaussSeidel(W, s, compact=False)
    assert not plain.corrected
    alone = plain.solve(c)
    assert alone.converged
    assert alone.iterations > solution.iterations
    torch.testing.assert_close(alone.z, reference.z, rtol=0, atol=1e-9)
    J = torch.from_numpy(np.random.default_rng(9).uniform(size=c.shape))
    g = torch.randn_like(c)
    for one in (solver, plain):
        v = one.adjoint(J, g)
        assert (v - J * (g + W.adjoint(v))).norm(dim=1).max() < 1e-8


@pytest.mark.parametrize("on_torus", [True, False])
def test_a_calibrated_solver_treats_every_row_alike(on_torus):
    """What it learned are the slopes of examples: other rows change no bit of a result."""
    torus = Torus(9, 9)
    W = Circulant.of(perturbed(torus, 2.0), torus) if on_torus else Dense(rank_one())
    rng = np.random.default_rng(8)
    examples, c, others = (torch.from_numpy(rng.normal(size=(6, W.out_width))) for _ in range(3))
    solver = GaussSeidel(W, Sigma.of(activation("relu"), W.out_width), compact=False)
    solver.calibrate(examples)
    correction = solver._correction
    assert correction is not None
    whole = solver.solve(c)
    other = solver.solve(torch.cat([c[:3], 100.0 * others[3:]]))
    assert torch.equal(whole.z[:3], other.z[:3])
    assert solver._correction is correction
    assert float(solver.residual(whole.z, c).max()) <= 1e-8
    plain = GaussSeidel(W, Sigma.of(activation("relu"), W.out_width), compact=False)
    assert whole.iterations < plain.solve(c).iterations


def rank_one(n=100):
    """A triangular matrix of four blocks plus a large matrix of rank one, (3) with Γ = I."""
    rng = np.random.default_rng(10)
    W = torch.from_numpy(rng.normal(size=(n, n))) / n**0.5
    for start in range(0, n, n // 4):
        W[start : start + n // 4, start:] = 0.0
    u = torch.ones(n, dtype=torch.float64) / n**0.5
    return W - 6.0 * torch.outer(u, u)


def test_rows_that_neither_sweeps_nor_the_plain_splitting_solve_go_to_the_metric(monkeypatch):
    torus = Torus(9, 9)
    W = Circulant.of(perturbed(torus, 2.0), torus)
    s = Sigma.of(activation("relu"), W.out_width)
    c = torch.from_numpy(np.random.default_rng(11).normal(size=(ROWS, W.out_width)))
    metric = torch.ones(CHANNELS, dtype=torch.float64)
    monkeypatch.setattr("certlip.solvers.gauss_seidel.FEW", 5)
    solver = GaussSeidel(W, s, metric=metric, compact=False)
    solution = solver.solve(c)
    assert [f.max_iter for f in solver.fallbacks] == [5, PeacemanRachford.most_iterations]
    assert solution.converged
    assert solution.iterations > 5
    monkeypatch.setattr(PeacemanRachford, "most_iterations", 5)
    hidden = GaussSeidel(W, s, metric=metric, compact=False).solve(c)
    assert not hidden.converged
    assert (hidden.residual > 1e-9).any()


@pytest.mark.parametrize("factor", [1e-6, 1e-2, 1e3])
def test_a_multiple_of_the_metric_is_the_same_metric(factor):
    """(3) is homogeneous in Γ: the multipliers of a layer with a small output map are small."""
    torus = Torus(3, 4)
    W = Circulant.of(kernel(PeacemanRachford.name), torus)
    c = torch.from_numpy(np.random.default_rng(12).normal(size=(ROWS, W.out_width)))
    metric = torch.tensor([1.0, 0.5, 2.0, 1.5], dtype=torch.float64)
    first, second = (
        PeacemanRachford(W, sigma(torus), metric=m).solve(c) for m in (metric, factor * metric)
    )
    assert first.converged
    assert second.converged
    assert second.iterations == first.iterations
    torch.testing.assert_close(second.z, first.z, rtol=0, atol=1e-9)


def test_a_row_that_is_no_number_spoils_neither_the_others_nor_later_calls():
    torus = Torus(9, 9)
    W = Circulant.of(perturbed(torus, 2.0), torus)
    s = Sigma.of(activation("tanh"), W.out_width)
    c = torch.from_numpy(np.random.default_rng(13).normal(size=(ROWS, W.out_width)))
    clean = GaussSeidel(W, s)
    expected = clean.solve(c)
    broken = c.clone()
    broken[2] = torch.nan
    solver = GaussSeidel(W, s, max_iter=40)
    solution = solver.solve(broken)
    assert not solution.converged
    rest = torch.arange(ROWS) != 2
    torch.testing.assert_close(solution.z[rest], expected.z[rest], rtol=0, atol=1e-9)
    again = solver.solve(c)
    assert again.converged
    assert again.iterations <= expected.iterations + 2


@pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-11])
def test_without_compact_a_row_does_not_depend_on_rows_that_fail(tol):
    torus = Torus(4, 4)
    W = Stencil(kernel(GaussSeidel.name), torus)
    c = torch.from_numpy(np.random.default_rng(14).normal(size=(ROWS, W.out_width)))
    solver = GaussSeidel(W, sigma(torus), tol=tol, compact=False)
    alone = solver.solve(c).z
    for value in (torch.nan, 1e200):
        other = c.clone()
        other[4] = value
        assert torch.equal(solver.solve(other).z[:4], alone[:4])


@pytest.mark.parametrize("rows", [0, 1])
def test_batches_may_be_empty(rows):
    torus = Torus(3, 4)
    for name in sorted(SOLVERS):
        for W in (Stencil(kernel(name), torus), Circulant.of(kernel(name), torus)):
            c = torch.zeros(rows, W.out_width, dtype=torch.float64)
            assert SOLVERS[name](W, sigma(torus)).solve(c).z.shape == c.shape
