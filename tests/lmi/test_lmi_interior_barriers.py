"""Barriers have the values and the derivatives they say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interior_nets import every_kind, inner_point, problem_of, seeds

from certlip.lmi.interior.barrier import symmetric_solve
from certlip.lmi.interior.lipschitz import LipschitzBarrier
from certlip.lmi.interior.monotone import MonotoneBarrier
from certlip.lmi.problem import Problem


def schur_form(problem, barrier, b):
    """φ of one problem, from its definition and the whole matrix."""

    def value(x):
        lam, rho = x[:-1], x[-1]
        total = -lam.log().sum() - (barrier.largest[b] - lam).log().sum()
        for W, U, G in zip(problem.W, problem.U, problem.G[b], strict=True):
            Lam = torch.diag(lam).to(W.dtype)
            M = 2 * Lam - Lam @ W - W.mH @ Lam - G.mH @ G
            corner = rho * torch.eye(U.shape[1], dtype=W.dtype)
            whole = torch.cat([torch.cat([M, Lam @ U], 1), torch.cat([(Lam @ U).mH, corner], 1)])
            total = total - torch.linalg.slogdet(whole)[1]
        return total

    return value


def monotone_form(problem):
    def value(x):
        gam, s = x[:-1], x[-1]
        total = -(gam * (1 - gam)).log().sum()
        for W in problem.W:
            Gam = torch.diag(gam).to(W.dtype)
            M = 2 * Gam - Gam @ W - W.mH @ Gam + s * torch.eye(len(W), dtype=W.dtype)
            total = total - torch.linalg.slogdet(M)[1]
        return total

    return value


SHAPES = [
    {"n": 1, "r": 1, "q": 1},
    {"n": 3, "r": 2, "q": 2},
    {"n": 4, "r": 4, "q": 1, "count": 3},
    {"n": 3, "r": 1, "q": 2, "frequencies": 4},
    {"n": 3, "r": 2, "q": 3, "frequencies": 3, "count": 2},
]
every_shape = pytest.mark.parametrize("shape", SHAPES)


@every_kind
@every_shape
def test_the_barrier_of_the_bound_is_that_of_the_schur_form(shape, kind):
    problem = problem_of(1, kind=kind, **shape)
    x, barrier = inner_point(problem)
    phi, kept = barrier.value(x)
    g, H = barrier.derivatives(x, kept)
    for b in range(problem.count):
        whole = schur_form(problem, barrier, b)
        torch.testing.assert_close(phi[b], whole(x[b]), rtol=1e-10, atol=1e-10)
        gradient = torch.autograd.functional.jacobian(whole, x[b])
        hessian = torch.autograd.functional.hessian(whole, x[b])
        torch.testing.assert_close(g[b], gradient, rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(H[b], hessian, rtol=1e-7, atol=1e-9)


@every_kind
@every_shape
def test_the_barrier_of_phase_one_is_that_of_its_matrix(shape, kind):
    problem = problem_of(2, kind=kind, **shape)
    n = problem.n
    barrier = MonotoneBarrier(torch.eye(n, dtype=kind) - problem.W)
    x = torch.cat([0.3 + 0.1 * torch.arange(n) / n, torch.tensor([0.7])])[None].double()
    phi, kept = barrier.value(x)
    g, H = barrier.derivatives(x, kept)
    whole = monotone_form(problem)
    torch.testing.assert_close(phi[0], whole(x[0]), rtol=1e-10, atol=1e-10)
    gradient = torch.autograd.functional.jacobian(whole, x[0])
    torch.testing.assert_close(g[0], gradient, rtol=1e-8, atol=1e-9)
    hessian = torch.autograd.functional.hessian(whole, x[0])
    torch.testing.assert_close(H[0], hessian, rtol=1e-8, atol=1e-9)


def test_derivatives_are_difference_quotients():
    x, barrier = inner_point(problem_of(3, frequencies=2, kind=torch.complex128))
    g, H = barrier.derivatives(x, barrier.value(x)[1])
    for i in range(x.shape[1]):
        h = torch.zeros_like(x)
        h[:, i] = 1e-5 * x[:, i]
        (up, kept_up), (down, kept_down) = barrier.value(x + h), barrier.value(x - h)
        step = 2 * h[:, i]
        torch.testing.assert_close((up - down) / step, g[:, i], rtol=1e-6, atol=1e-7)
        slope = barrier.derivatives(x + h, kept_up)[0] - barrier.derivatives(x - h, kept_down)[0]
        torch.testing.assert_close(slope / step[:, None], H[:, i], rtol=1e-5, atol=1e-5)


@every_kind
def test_the_parameter_is_that_of_the_barrier(kind):
    """g(x)ᵀH⁻¹g(x) ≤ ν everywhere, and = ν for the part that is logarithmically homogeneous."""
    for seed in range(5):
        x, barrier = inner_point(problem_of(seed, n=4, frequencies=2, count=2, kind=kind), seed)
        g, H = barrier.derivatives(x, barrier.value(x)[1])
        assert ((g * symmetric_solve(H, g)).sum(dim=1) <= barrier.nu).all()
        assert barrier.nu == 2 * (4 + 2) + 2 * 4
    monotone = MonotoneBarrier(torch.eye(4, dtype=kind) - problem_of(0, n=4, frequencies=2).W)
    assert monotone.nu == 2 * 4 + 2 * 4


@pytest.mark.parametrize(
    "change",
    [
        lambda x, largest: (0, -x[0]),
        lambda x, largest: (0, 0.0),
        lambda x, largest: (1, largest[1]),
        lambda x, largest: (1, 2 * largest[1]),
        lambda x, largest: (-1, -x[-1]),
        lambda x, largest: (-1, 0.0),
        lambda x, largest: (-1, x[-1] / 1e6),  # below every bound: N is indefinite
        lambda x, largest: (2, x[2] / 1e6),  # GᵀG is too large for it
        lambda x, largest: (0, float("nan")),
        lambda x, largest: (-1, float("nan")),
        lambda x, largest: (-1, float("inf")),
    ],
)
def test_outside_of_the_domain_the_barrier_is_infinite_for_that_problem_alone(change):
    x, barrier = inner_point(problem_of(4, count=2))
    before = barrier.value(x)[0]
    i, value = change(x[1], barrier.largest[1])
    x[1, i] = value
    phi = barrier.value(x)[0]
    assert phi[1] == torch.inf
    assert phi[0] == before[0]


def test_a_negative_multiplier_that_makes_the_matrix_definite_is_outside():
    """M ≻ 0 does not imply Λ ≻ 0: W = 2, λ = −1."""
    two = Problem(*(torch.full((1, 1, 1), v).double() for v in (2.0, 0.1)), torch.ones(1, 1, 1, 1))
    two = replace(two, G=0.1 * two.G.double())
    barrier = LipschitzBarrier.of(two, torch.ones(1, 1).double())
    assert barrier.value(torch.tensor([[-1.0, 1.0]]).double())[0] == torch.inf
    monotone = MonotoneBarrier(-torch.ones(1, 1, 1).double())
    assert monotone.value(torch.tensor([[-1.0, 0.0]]).double())[0] == torch.inf
    assert monotone.value(torch.tensor([[1.5, 9.0]]).double())[0] == torch.inf  # γ < 1


def test_selected_problems_are_what_they_were():
    x, barrier = inner_point(problem_of(5, count=3, frequencies=2))
    rows = torch.tensor([True, False, True])
    phi, kept = barrier.value(x)
    some_phi, some_kept = barrier.select(rows).value(x[rows])
    torch.testing.assert_close(some_phi, phi[rows])
    for some, all_ in zip(
        barrier.select(rows).derivatives(x[rows], some_kept),
        barrier.derivatives(x, kept),
        strict=True,
    ):
        torch.testing.assert_close(some, all_[rows])


@settings(max_examples=30)
@given(seed=seeds, exponent=st.integers(0, 12))
def test_newtons_equations_are_solved_whatever_the_units(seed, exponent):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((2, 4, 4))
    units = 10.0 ** rng.uniform(-exponent, exponent, (2, 4, 1))
    H = torch.from_numpy(units * (A @ A.mT + np.eye(4)) * units.swapaxes(1, 2))
    y = torch.from_numpy(rng.standard_normal((2, 4)) / units[..., 0])
    g = (H @ y[..., None])[..., 0]
    solved = symmetric_solve(H, g)
    assert (((solved - y) * torch.from_numpy(units[..., 0])).abs() < 1e-6).all()


def test_a_singular_hessian_is_lifted_and_one_of_nan_ends():
    H = torch.ones(1, 3, 3).double()
    y = symmetric_solve(H, torch.ones(1, 3).double())
    torch.testing.assert_close(H @ y[..., None], torch.ones(1, 3, 1).double(), rtol=1e-8, atol=0)
    assert symmetric_solve(H * torch.nan, torch.ones(1, 3).double()).isnan().all()
