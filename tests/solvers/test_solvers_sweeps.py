"""What makes sweeps fast: linear units that are eliminated, secant steps, single precision first."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import certlip.solvers.gauss_seidel as gauss_seidel
from certlip.blocks.activations import Sigma, activation
from certlip.linalg.operators import Circulant, Dense
from certlip.linalg.torus import Torus
from certlip.solvers import GaussSeidel, PeacemanRachford
from certlip.solvers.elimination import elimination_of
from certlip.solvers.sweep_choice import sweep_for

RELU, IDENTITY, TANH = (activation(name) for name in ("relu", "identity", "tanh"))


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def nearly(n, seed=0, above=0.02):
    """Four blocks, almost strictly lower."""
    W = random(n, n, seed=seed)
    W = W.sign() * W.abs().clamp(0.7, 1.5) / n**0.5
    for B in range(0, n, n // 4):
        W[B : B + n // 4, B:] *= above
    return W


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.permutations([RELU, IDENTITY, TANH, IDENTITY, RELU]))
def test_elimination_keeps_the_solutions(seed, kinds):
    """A solution of the whole system solves the reduced one, and gives z_l back."""
    sigma = Sigma(tuple((kind, 2) for kind in kinds))
    A, c = 0.2 * random(10, 10, seed=seed), random(10, seed=seed + 1)
    z = torch.zeros(10, dtype=torch.float64)
    for _ in range(300):
        z = 0.5 * z + 0.5 * sigma.forward(A @ z + c)
    e = elimination_of(A[None], sigma)
    assert e is not None
    assert sorted([*e.linear.tolist(), *e.rest.tolist()]) == list(range(10))
    drive = c[e.rest] + e.rl_R[0] @ c[e.linear]
    kept = Sigma(tuple(part for part in sigma.segments if part[0].name != "identity"))
    scale = 1e-6 * (1 + z.norm())
    assert (kept.forward(e.S[0] @ z[e.rest] + drive) - z[e.rest]).norm() <= scale
    assert (e.R_lr[0] @ z[e.rest] + e.R[0] @ c[e.linear] - z[e.linear]).norm() <= scale


def test_nothing_is_eliminated_where_it_cannot_be():
    eye = torch.eye(4, dtype=torch.float64)[None]
    mixed = Sigma(((IDENTITY, 2), (RELU, 2)))
    assert elimination_of(eye, mixed) is None  # I − W_ll is singular
    assert elimination_of((1 - 1e-6) * eye, mixed) is None  # nearly
    assert elimination_of(0.5 * eye, Sigma.of(RELU, 4)) is None
    assert elimination_of(0.5 * eye, Sigma.of(IDENTITY, 4)) is None
    assert elimination_of(0.5 * eye, mixed) is not None


@pytest.mark.parametrize("torus", [None, Torus(4, 6), Torus(5, 3)], ids=str)
@pytest.mark.parametrize("kinds", [(IDENTITY, RELU), (RELU, IDENTITY, TANH), (TANH, IDENTITY)])
def test_a_sweep_measures_what_its_point_leaves(torus, kinds):
    """Size, residual and slopes of a state are those of the point it returns, linear units or not."""
    counts = [12 // len(kinds)] * len(kinds)
    pixels = 1 if torus is None else torus.pixels
    sigma = Sigma(tuple((kind, n * pixels) for kind, n in zip(kinds, counts, strict=True)))
    if torus is None:
        W = Dense(nearly(12))
    else:
        W = Circulant.of(nearly(12)[..., None, None] * random(1, 1, 3, 3, seed=2), torus)
    blocks = [slice(B, B + 3) for B in range(0, 12, 3)]
    c = random(5, W.out_width, seed=3)
    for eliminate in (True, False):
        sweep = sweep_for(W, sigma, blocks, eliminate=eliminate)
        assert (sweep.linear is not None) == eliminate
        state = sweep.begin(random(5, W.out_width, seed=4), c)
        for _ in range(2):
            before = sweep.read(state).clone()
            sweep.forward(state)
        z = sweep.point(state)
        residual = z - sigma.forward(W.apply(z) + c)
        torch.testing.assert_close(sweep.residual(state), residual.norm(dim=1))
        torch.testing.assert_close(sweep.size(state), z.norm(dim=1))
        change = sweep.product(sweep.ready(sweep.E), sweep.read(state) - before)
        assert (sweep.residual(state) <= sweep.norm(change) * (1 + 1e-9)).all()


def test_secant_steps_save_sweeps(monkeypatch):
    # one direction that a sweep does not solve
    W, s = nearly(80, above=0.0) - 1.0 / 80, Sigma(((IDENTITY, 20), (RELU, 60)))
    c = random(6, 80, seed=5)
    fast = GaussSeidel(W, s, compact=False).solve(c)
    monkeypatch.setattr(
        gauss_seidel, "secant_step", lambda sweep, state, T, f: {**state, "next": T.clone()}
    )
    plain = GaussSeidel(W, s, compact=False).solve(c)
    assert fast.converged
    assert plain.converged
    assert fast.iterations < plain.iterations
    torch.testing.assert_close(fast.z, plain.z, rtol=0, atol=1e-9)


@pytest.mark.parametrize("tol", [1e-5, 1e-11])
def test_single_precision_comes_first_and_decides_nothing(tol, monkeypatch):
    monkeypatch.setattr(gauss_seidel, "LARGE", 10)
    W, s = nearly(80, above=0.1), Sigma(((IDENTITY, 20), (RELU, 60)))
    c = random(6, 80, seed=6)
    c[4] = 1e60  # not a number of single precision
    solver = GaussSeidel(W, s, tol=tol)
    assert solver.rough is not None
    assert solver.rough.W.dtype == torch.float32
    assert solver.rough.rescue(c, c) is None
    solution = solver.solve(c)
    assert solution.converged
    exact = (solution.z - s.forward(solution.z @ W.T + c)).norm(dim=1)
    assert (exact <= 1.001 * tol * (1 + solution.z.norm(dim=1))).all()
    reference = PeacemanRachford(W, s).solve(c)
    rest = torch.arange(6) != 4
    assert (solution.z - reference.z)[rest].norm() <= 100 * tol * reference.z[rest].norm()
    assert GaussSeidel(W, s, compact=False).rough is None
    assert GaussSeidel(W.float(), s).rough is None


@pytest.mark.parametrize("skip", [1e-9, 0.1])
def test_no_row_is_accepted_by_an_estimate(skip, monkeypatch):
    """However small the estimates are, what is returned as converged has a small residual."""
    monkeypatch.setattr(gauss_seidel, "SKIP", skip)
    torus = Torus(8, 8)
    W = Circulant.of(nearly(12, above=0.1)[..., None, None] * random(1, 1, 3, 3, seed=7) / 3, torus)
    s = Sigma(((IDENTITY, 3 * 64), (RELU, 9 * 64)))
    c = random(40, W.out_width, seed=8) * torch.logspace(-3, 3, 40, dtype=torch.float64)[:, None]
    for max_iter in (1, 2, 4, 100):
        solution = GaussSeidel(W, s, tol=1e-6, max_iter=max_iter).solve(c)
        exact = (solution.z - s.forward(W.apply(solution.z) + c)).norm(dim=1)
        assert solution.converged
        assert (exact <= 1.0001e-6 * (1 + solution.z.norm(dim=1))).all()


@pytest.mark.parametrize("torus", [None, Torus(4, 6), Torus(5, 3)], ids=str)
@pytest.mark.parametrize("kinds", [(IDENTITY, RELU), (RELU, IDENTITY, TANH), (RELU, TANH)])
@pytest.mark.parametrize("size", [1.0, 2.5])
def test_a_tangent_solves_the_linear_system(torus, kinds, size, monkeypatch):
    """(I − JW)δ = g for slopes J per coordinate, those of linear units 1."""
    monkeypatch.setattr(gauss_seidel, "TANGENT", 1e-9)
    monkeypatch.setattr(gauss_seidel, "TANGENTS", 80)
    counts = [12 // len(kinds)] * len(kinds)
    pixels = 1 if torus is None else torus.pixels
    sigma = Sigma(tuple((kind, n * pixels) for kind, n in zip(kinds, counts, strict=True)))
    W = Dense(nearly(12, above=0.05)) if torus is None else None
    if torus is not None:
        taps = random(1, 1, 3, 3, seed=2) / 3.0
        W = Circulant.of(nearly(12, above=0.05)[..., None, None] * taps, torus)
    solver = GaussSeidel(W, sigma, compact=False)
    c, g = random(5, W.out_width, seed=3), size * random(5, W.out_width, seed=4)
    solver.calibrate(c)
    J = torch.rand(5, W.out_width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    linear = torch.cat([torch.full((n,), kind.name == "identity") for kind, n in sigma.segments])
    J[:, linear] = 1.0
    d = solver.tangent(J, g)
    assert (d - J * W.apply(d) - g).norm() <= 1e-6 * g.norm()


@pytest.mark.parametrize("torus", [None, Torus(4, 6)], ids=str)
def test_a_tangent_does_not_know_the_other_rows(torus):
    pixels = 1 if torus is None else torus.pixels
    taps = random(1, 1, 3, 3, seed=2) / 3.0
    W = nearly(12, above=0.05)
    W = Dense(W) if torus is None else Circulant.of(W[..., None, None] * taps, torus)
    solver = GaussSeidel(W, Sigma.of(RELU, 12 * pixels), compact=False)
    solver.calibrate(random(20, W.out_width, seed=3))
    assert solver.far
    J, g = (random(6, W.out_width, seed=4) > 0).double(), random(6, W.out_width, seed=5)
    d = solver.tangent(J, g)
    for row in range(6):  # the others are solved at once
        only = torch.arange(6)[:, None] == row
        alone = solver.tangent(torch.where(only, J, 0.0), torch.where(only, g, 0.0))
        assert torch.equal(alone[row], d[row])
        assert (alone[~only[:, 0]] == 0.0).all()
