"""Every solver of the registry finds the one equilibrium and says honestly how far it got."""

from typing import Any

import numpy as np
import pytest
import torch

from certlip import solvers
from certlip.blocks.activations import Sigma, activation
from certlip.errors import InconclusiveError, InputError
from certlip.solvers import ForwardBackward, GaussSeidel, PeacemanRachford, Substitution
from certlip.solvers.gauss_seidel import blocks_of

SOLVERS: dict[str, Any] = {**solvers.SOLVERS}
N, BATCH = 8, 5
RELU = activation("relu")
ACTIVATIONS = [
    RELU,
    activation("identity"),
    activation("leaky_relu", {"slope": 0.0}),
    activation("leaky_relu", {"slope": 0.2}),
    activation("tanh"),
    activation("elu", {"alpha": 0.5}),
    activation("elu", {"alpha": 1.0}),
]
SIGMAS = [Sigma.of(kind, N) for kind in ACTIVATIONS]
SIGMAS.append(Sigma(((activation("identity"), 2), (RELU, 1), (activation("tanh"), 3), (RELU, 2))))
every_sigma = pytest.mark.parametrize("sigma", SIGMAS, ids=str)
every_solver = pytest.mark.parametrize("name", sorted(SOLVERS))


def tensor(rng, *shape, size=1.0):
    return torch.from_numpy(size * rng.normal(size=shape))


def monotone(seed=0, n=N, m=0.4):
    """W with ½(2I − W − Wᵀ) = mI + AᵀA: (3) holds with Γ = I and margin m."""
    rng = np.random.default_rng(seed)
    A, B = tensor(rng, n, n, size=0.2), tensor(rng, n, n, size=0.25)
    return (1 - m) * torch.eye(n, dtype=torch.float64) - A.T @ A + B - B.T


def triangular(seed=0, n=N):
    return tensor(np.random.default_rng(seed), n, n, size=0.3).tril(-1)


def nearly(seed=0, size=0.01):
    """Three blocks of an explicit network plus a small full matrix."""
    rng = np.random.default_rng(seed)
    W = tensor(rng, N, N, size=0.3)
    W[:3] = 0.0
    W[3:6, 3:] = 0.0
    W[6:, 6:] = 0.0
    return W + tensor(rng, N, N, size=size)


def problem(name, seed=0):
    makers = {Substitution.name: triangular, GaussSeidel.name: nearly}
    return makers.get(name, monotone)(seed)


def damped(W, sigma, c, share=0.1, iterations=1500):
    """z ← z + t(σ(Wz + c) − z): slow, but neither an inverse nor a prox."""
    z = torch.zeros_like(c)
    for _ in range(iterations):
        z = z + share * (sigma.forward(z @ W.T + c) - z)
    return z


def distance(W, sigma, z, c):
    """‖z − σ(Wz + c)‖ per row, in NumPy."""
    w = torch.from_numpy(z.numpy() @ W.numpy().T + c.numpy())
    return np.sqrt(((z.numpy() - sigma.forward(w).numpy()) ** 2).sum(axis=1))


@every_sigma
@pytest.mark.parametrize(
    "W", [monotone(), triangular(), nearly()], ids=["monotone", "triangular", "nearly"]
)
def test_all_solvers_and_a_damped_iteration_agree(W, sigma):
    c = tensor(np.random.default_rng(1), BATCH, N, size=2.0)
    expected = damped(W, sigma, c)
    assert distance(W, sigma, expected, c).max() < 1e-11
    tried = 0
    for solver in SOLVERS.values():
        if solver is Substitution and W.triu().any():
            continue
        if solver is GaussSeidel and blocks_of(W) is None:
            continue
        solution = solver(W, sigma).solve(c)
        assert solution.converged
        torch.testing.assert_close(solution.z, expected, rtol=0, atol=1e-9)
        tried += 1
    assert tried >= 2


@every_sigma
@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 4.0])
def test_peaceman_rachford_converges_for_every_step(sigma, alpha):
    c = tensor(np.random.default_rng(2), BATCH, N)
    W = monotone(2)
    solution = PeacemanRachford(W, sigma, alpha=alpha, max_iter=10_000).solve(c)
    assert solution.converged
    torch.testing.assert_close(solution.z, damped(W, sigma, c), rtol=0, atol=1e-9)


@every_solver
@every_sigma
def test_the_residual_is_the_one_of_what_is_returned(name, sigma):
    c = tensor(np.random.default_rng(3), BATCH, N)
    W = problem(name, 3)
    options = [{}] if name == Substitution.name else [{}, {"max_iter": 1}, {"max_iter": 20}]
    for more in options:
        solution = SOLVERS[name](W, sigma, **more).solve(c)
        true = distance(W, sigma, solution.z, c)
        np.testing.assert_allclose(solution.residual.numpy(), true, rtol=1e-6, atol=1e-14)
        allowed = 1e-11 * (1 + solution.z.norm(dim=1).numpy())
        assert solution.converged == bool((solution.residual.numpy() <= allowed).all())


@pytest.mark.parametrize("solver", [PeacemanRachford, ForwardBackward])
@pytest.mark.parametrize("max_iter", [0, 1, 4])
def test_too_few_iterations_are_said_to_be_too_few(solver, max_iter):
    c = tensor(np.random.default_rng(4), BATCH, N)
    sigma = Sigma.of(activation("tanh"), N)
    solution = solver(monotone(), sigma, max_iter=max_iter).solve(c)
    assert not solution.converged
    assert solution.residual.max() > 1e-6


def test_one_row_that_has_not_converged_is_enough_to_say_so():
    c = torch.zeros(2, N, dtype=torch.float64)
    c[1] = 100.0
    solution = PeacemanRachford(monotone(), Sigma.of(RELU, N), max_iter=5).solve(c)
    assert solution.residual[0] == 0.0
    assert not solution.converged


@pytest.mark.parametrize("solver", [PeacemanRachford, ForwardBackward])
def test_a_matrix_without_an_equilibrium_never_converges(solver):
    """z = relu(2z + 1) has no solution; that and NaN must not look like convergence."""
    W = 2.0 * torch.eye(2, dtype=torch.float64)
    sigma = Sigma.of(RELU, 2)
    ones = torch.ones(1, 2, dtype=torch.float64)
    for c in (ones, ones * torch.nan, ones * torch.inf):
        assert not solver(W, sigma, alpha=0.5, max_iter=300).solve(c).converged


def test_substitution_is_exact_to_rounding_and_agrees_with_the_splitting():
    rng = np.random.default_rng(5)
    for sigma in SIGMAS:
        W, c = triangular(int(rng.integers(1000))), tensor(rng, BATCH, N, size=3.0)
        direct = Substitution(W, sigma).solve(c)
        assert direct.converged
        assert direct.residual.max() <= 1e-14
        split = PeacemanRachford(W, sigma).solve(c)
        torch.testing.assert_close(direct.z, split.z, rtol=0, atol=1e-9)


def test_substitution_of_what_is_no_number_has_not_converged():
    c = torch.full((2, N), torch.nan, dtype=torch.float64)
    assert not Substitution(triangular(), SIGMAS[0]).solve(c).converged


def test_substitution_takes_one_step_per_layer():
    W = torch.zeros(6, 6, dtype=torch.float64)
    W[2:4, :2] = 1.0
    W[4:, :4] = -1.0
    sigma = Sigma(((activation("identity"), 3), (RELU, 3)))
    solution = Substitution(W, sigma).solve(torch.ones(1, 6, dtype=torch.float64))
    assert solution.iterations == 3
    assert solution.z.tolist() == [[1.0, 1.0, 3.0, 3.0, 0.0, 0.0]]


@pytest.mark.parametrize("entry", [(0, 0), (0, 2), (2, 2)])
def test_substitution_refuses_a_matrix_that_is_not_triangular(entry):
    W = triangular()
    W[entry] = 1e-300
    with pytest.raises(ValueError, match="strictly lower-triangular"):
        Substitution(W, SIGMAS[0])


@every_sigma
def test_rows_do_not_influence_each_other(sigma):
    """The same row between easy and between hard neighbours gives the same bits, if no row leaves."""
    rng = np.random.default_rng(6)
    W, row = monotone(6), tensor(rng, N)
    solver = PeacemanRachford(W, sigma, compact=False)
    results = []
    for size in (0.0, 1e-3, 1.0, 1e4):
        c = tensor(rng, 6, N, size=size)
        c[2] = row
        solution = solver.solve(c)
        results.append((solution.z[2], solution.residual[2]))
    for z, residual in results[1:]:
        assert torch.equal(z, results[0][0])
        assert torch.equal(residual, results[0][1])


@every_solver
def test_a_start_at_the_solution_needs_no_iteration(name):
    W, c = problem(name), tensor(np.random.default_rng(7), BATCH, N)
    solver = SOLVERS[name](W, SIGMAS[0])
    first = solver.solve(c)
    again = solver.solve(c, first.z)
    assert again.converged
    assert again.iterations <= first.iterations
    if name != Substitution.name:
        assert again.iterations == 0
    torch.testing.assert_close(again.z, first.z, rtol=0, atol=1e-10)
    anywhere = solver.solve(c, 10 * torch.ones_like(c))
    torch.testing.assert_close(anywhere.z, first.z, rtol=0, atol=1e-9)


@every_solver
def test_solving_changes_no_argument(name):
    W, c = problem(name), tensor(np.random.default_rng(8), BATCH, N)
    start = torch.ones_like(c)
    before = W.clone(), c.clone()
    SOLVERS[name](W, SIGMAS[0]).solve(c, start)
    assert torch.equal(W, before[0])
    assert torch.equal(c, before[1])
    assert torch.equal(start, torch.ones_like(c))


@every_solver
def test_a_tolerance_is_obeyed_and_counts(name):
    W, c = problem(name), tensor(np.random.default_rng(9), BATCH, N)
    loose = SOLVERS[name](W, SIGMAS[4], tol=1e-2).solve(c)
    tight = SOLVERS[name](W, SIGMAS[4], tol=1e-12).solve(c)
    assert loose.converged
    assert tight.converged
    assert loose.iterations <= tight.iterations
    assert (loose.residual <= 1e-2 * (1 + loose.z.norm(dim=1))).all()


@every_solver
def test_float32_is_solved_to_its_own_accuracy(name):
    W, c = problem(name), tensor(np.random.default_rng(10), BATCH, N)
    exact = SOLVERS[name](W, SIGMAS[4]).solve(c)
    single = SOLVERS[name](W.float(), SIGMAS[4], tol=1e-5).solve(c.float())
    assert single.converged
    assert single.z.dtype == torch.float32
    torch.testing.assert_close(single.z.double(), exact.z, rtol=0, atol=1e-4)


@every_solver
def test_the_adjoint_solves_its_linear_system(name):
    rng = np.random.default_rng(11)
    W, g = problem(name), tensor(rng, BATCH, N)
    J = torch.from_numpy(rng.choice([0.0, 0.3, 1.0], (BATCH, N)))
    v = SOLVERS[name](W, SIGMAS[0]).adjoint(J, g)
    for i in range(BATCH):
        D = torch.diag(J[i])
        w = torch.linalg.solve((torch.eye(N, dtype=torch.float64) - D @ W).T, g[i])
        torch.testing.assert_close(v[i], D @ w, rtol=0, atol=1e-9)


@pytest.mark.parametrize("solver", [PeacemanRachford, ForwardBackward])
@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_a_step_that_is_none_is_refused(solver, alpha):
    with pytest.raises(InputError, match="step alpha"):
        solver(monotone(), SIGMAS[0], alpha=alpha)


@pytest.mark.parametrize("n", [1, 3])
def test_ill_posed_matrices_are_reported_not_crashed_on(n):
    eye, sigma = torch.eye(n, dtype=torch.float64), Sigma.of(RELU, n)
    with pytest.raises(InconclusiveError, match="singular"):
        PeacemanRachford(2.0 * eye, sigma, alpha=1.0)
    c = torch.ones(1, n, dtype=torch.float64)
    for solver in (PeacemanRachford, ForwardBackward):
        assert not solver(eye, sigma, max_iter=10).solve(c).converged
    huge = PeacemanRachford(-1e200 * eye, sigma, max_iter=10)
    assert 0.0 < huge.alpha < float("inf")


@every_solver
def test_every_solver_states_its_name(name):
    assert SOLVERS[name].name == name


@every_sigma
def test_sweeps_that_do_not_contract_are_finished_by_splitting(sigma):
    """Large entries above the blocks: the sweeps stall or diverge, the result is right all the same."""
    W = nearly(12, size=0.0)
    W[:3, 6:] = 0.05 * W.abs().max()
    W[6:, :3] *= 8.0
    W[3:6, :3] *= -8.0
    W[:3, 3:6] = -0.09 * W.abs().max()
    assert blocks_of(W) is not None
    gamma = torch.linalg.eigvalsh(torch.eye(N) - (W + W.T) / 2)[0]
    W = W - (0.5 - gamma).clamp_min(0.0) * torch.eye(N)  # strongly monotone, so PR converges
    c = tensor(np.random.default_rng(12), BATCH, N, size=3.0)
    direct = PeacemanRachford(W, sigma).solve(c)
    if blocks_of(W) is None:
        return
    solution = GaussSeidel(W, sigma).solve(c)
    assert solution.converged
    torch.testing.assert_close(solution.z, direct.z, rtol=0, atol=1e-8)


def test_a_single_sweep_is_handed_over_and_the_residual_is_honest():
    c = tensor(np.random.default_rng(13), BATCH, N)
    W = nearly(13)
    few = GaussSeidel(W, SIGMAS[0], max_iter=1).solve(c)
    many = GaussSeidel(W, SIGMAS[0]).solve(c)
    assert few.converged
    assert many.iterations < few.iterations
    torch.testing.assert_close(few.z, many.z, rtol=0, atol=1e-9)


def test_rows_of_sweeps_do_not_influence_each_other():
    rng = np.random.default_rng(14)
    W, row = nearly(14), tensor(rng, N)
    solver = GaussSeidel(W, SIGMAS[-1], compact=False)
    results = []
    for size in (0.0, 1.0, 1e4):
        c = tensor(rng, 6, N, size=size)
        c[2] = row
        results.append(solver.solve(c).z[2])
    assert all(torch.equal(z, results[0]) for z in results)


@pytest.mark.parametrize("W", [monotone(), torch.zeros(N, N).double(), torch.eye(N).double()])
def test_sweeps_refuse_a_matrix_without_the_structure(W):
    with pytest.raises(InputError, match="almost block lower-triangular"):
        GaussSeidel(W, SIGMAS[0])


def test_a_gradient_that_was_not_solved_for_raises():
    from certlip.solvers import equilibrium

    W, c = monotone(15), tensor(np.random.default_rng(15), BATCH, N).requires_grad_()
    solver = PeacemanRachford(W, SIGMAS[4])
    z, _ = equilibrium(W, c, solver)
    solver.max_iter = 1
    with pytest.raises(InconclusiveError, match="adjoint system"):
        z.sum().backward()
    lenient, _ = equilibrium(W, c, PeacemanRachford(W, SIGMAS[4]), strict=False)
    lenient.sum().backward()
    assert c.grad is not None
