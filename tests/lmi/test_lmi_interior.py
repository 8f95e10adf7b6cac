"""Barriers have the derivatives they say, paths end where they should, starts lie in the domain."""

import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lmi_nets import block_of, mondeq_block, parts_with_margin

from certlip.lmi.interior.barrier import Barrier, symmetric_solve
from certlip.lmi.interior.follow import follow
from certlip.lmi.interior.lipschitz import ROOM, LipschitzBarrier
from certlip.lmi.interior.monotone import MonotoneBarrier
from certlip.lmi.interior.start import lipschitz_start, monotone_start
from certlip.lmi.problem import Problem

seeds = st.integers(0, 2**32 - 1)


def problem_of(seed, n=3, r=2, q=2, frequencies=1, count=1, kind=torch.float64):
    """Blocks for which Γ = I satisfies (3)."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=kind)

    A, B = normal(2, frequencies, n, n)
    W = 0.5 * torch.eye(n, dtype=kind) - A @ A.mH / n + B - B.mH
    return Problem(W, normal(frequencies, n, r), normal(count, frequencies, q, n))


def inner_point(problem, seed=0):
    """A point of the domain that is not symmetric in any way, and the barrier."""
    x = lipschitz_start(problem, torch.ones(problem.n, dtype=torch.float64))
    assert x is not None
    factors = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).double()
    x = x * (1.0 + 0.02 * factors)
    return x, LipschitzBarrier.of(problem, (3.0 + factors[:, :-1]) * x[:, :-1])


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
every_kind = pytest.mark.parametrize("kind", [torch.float64, torch.complex128])


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


# --- the path ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disc(Barrier):
    """−log(ρ + 2 − ‖y‖²) − log(9 − ρ) with y of two entries and an offset: the least ρ is −2."""

    offset: torch.Tensor  # (B,)

    @property
    def nu(self):
        return 2.0

    def value(self, x):
        rest = x[:, 2] + 2.0 - ((x[:, :2] - self.offset[:, None]) ** 2).sum(dim=1)
        room = 9.0 - x[:, 2]
        phi = torch.where((rest > 0) & (room > 0), -rest.abs().log() - room.abs().log(), torch.inf)
        return phi, rest

    def derivatives(self, x, kept):
        v = torch.cat([-2.0 * (x[:, :2] - self.offset[:, None]), torch.ones_like(x[:, :1])], dim=1)
        g = -v / kept[:, None]
        H = v[:, :, None] * v[:, None, :] / kept[:, None, None] ** 2
        H = H + torch.diag(torch.tensor([2.0, 2.0, 0.0]).double()) / kept[:, None, None]
        room = 9.0 - x[:, 2]
        g[:, 2] += 1.0 / room
        H[:, 2, 2] += 1.0 / room**2
        return g, H

    def select(self, rows):
        return Disc(self.offset[rows])


def disc(*offsets):
    offset = torch.tensor(offsets).double()
    y = offset[:, None] + torch.tensor([[1.0, -0.5]]).double()
    return Disc(offset), torch.cat([y, torch.ones_like(y[:, :1])], dim=1)


@pytest.mark.parametrize("tol", [1e-1, 1e-4, 1e-10])
def test_a_path_ends_above_the_minimum_and_within_the_gap(tol):
    barrier, x = disc(0.0, 3.0, -100.0)
    path = follow(barrier, x, lambda rho, gap: gap < tol)
    assert path.done.all()
    assert not path.timed_out
    assert (path.gap < tol).all()
    assert (path.x[:, 2] >= -2.0).all()
    assert (path.x[:, 2] - path.gap <= -2.0 + 1e-14).all()
    assert 0 < path.iterations < 60


def test_a_path_gives_what_satisfied_it():
    barrier, x = disc(0.0, 5.0)
    path = follow(barrier, x, lambda rho, gap: rho < -1.5)
    assert path.done.all()
    assert (path.x[:, 2] < -1.5).all()


def test_each_step_tells_about_all_problems():
    barrier, x = disc(0.0, 1.0)
    x[1] = torch.tensor([1.0, 0.0, 8.9])  # takes longer than the other
    seen = []

    def say(iteration, rho, gap):
        seen.append((iteration, rho.clone(), gap.clone()))

    path = follow(barrier, x, lambda rho, gap: gap < 1e-6, progress=say)
    assert [said[0] for said in seen] == list(range(1, path.iterations + 1))
    assert all(said[1].shape == said[2].shape == (2,) for said in seen)
    torch.testing.assert_close(seen[-1][1], path.x[:, 2], atol=1e-5, rtol=0)


def test_a_start_outside_of_the_domain_stays_where_it_is():
    barrier, x = disc(0.0, 1.0, 2.0)
    x[1, 0] = 50.0
    x[2, 2] = torch.nan
    path = follow(barrier, x, lambda rho, gap: gap < 1e-6)
    assert path.done.tolist() == [True, False, False]
    torch.testing.assert_close(path.x[1:], x[1:], equal_nan=True, rtol=0, atol=0)
    assert (path.gap[1:] == torch.inf).all()
    nowhere = follow(barrier.select(torch.tensor([1])), x[1:2], lambda rho, gap: gap < 1e-6)
    assert nowhere.iterations == 0


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("at", [0, 3, 9])
def test_derivatives_that_are_no_numbers_end_a_path_inside(bad, at):
    class Breaks(Disc):
        def derivatives(self, x, kept):
            g, H = super().derivatives(x, kept)
            calls.append(0)
            return (g, H) if len(calls) <= at else (g * bad, H * bad)

        def select(self, rows):
            return Breaks(self.offset[rows])

    calls = []
    barrier, x = disc(0.0, 4.0)
    path = follow(Breaks(barrier.offset), x, lambda rho, gap: gap < 1e-12)
    assert not path.done.any()
    assert barrier.value(path.x)[0].isfinite().all()
    assert len(calls) < at + 5


def test_a_deadline_in_the_past_returns_the_start():
    barrier, x = disc(0.0)
    path = follow(barrier, x, lambda rho, gap: gap < 1e-6, deadline=time.monotonic() - 1.0)
    assert path.timed_out
    assert path.iterations == 0
    torch.testing.assert_close(path.x, x)
    assert not path.done.any()


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
def test_a_deadline_returns_the_best_point_so_far(steps, monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr("certlip.lmi.interior.follow.time.monotonic", lambda: next(now))
    barrier, x = disc(0.0)
    path = follow(barrier, x, lambda rho, gap: gap < 1e-12, deadline=steps - 1)
    assert path.timed_out
    assert path.iterations == steps
    assert barrier.value(path.x)[0].isfinite().all()
    assert path.x[0, 2] < x[0, 2] or steps < 5
    assert path.x[0, 2] - path.gap <= -2.0 + 1e-12


# --- where it begins -----------------------------------------------------------------------------


@settings(max_examples=10)
@given(
    seed=seeds,
    u=st.integers(-6, 6),
    g=st.integers(-6, 6),
    frequencies=st.integers(1, 3),
    kind=st.sampled_from([torch.float64, torch.complex128]),
)
def test_the_start_is_well_inside(seed, u, g, frequencies, kind):
    problem = problem_of(seed, frequencies=frequencies, count=2, kind=kind)
    problem = replace(problem, U=problem.U * 10.0**u, G=problem.G * 10.0**g)
    gam = 1.0 + 0.01 * torch.arange(3).double()
    x = lipschitz_start(problem, gam)
    if x is None:  # Γ is not I
        half = gam[:, None] * (torch.eye(3) - problem.W)
        assert torch.linalg.eigvalsh(half + half.mH).min() < 1e-9
        return
    assert x.shape == (2, 4)
    assert LipschitzBarrier.of(problem, ROOM * x[:, :-1]).value(x)[0].isfinite().all()
    smaller = x.clone()
    smaller[:, -1] *= 0.6
    assert LipschitzBarrier.of(problem, ROOM * x[:, :-1]).value(smaller)[0].isfinite().all()


@pytest.mark.parametrize("gam", [[1.0, -1.0], [-1.0, -1.0], [1.0, 0.0], [1.0, np.nan]])
def test_multipliers_that_are_not_positive_start_nothing(gam):
    problem = Problem.of(block_of(np.diag([0.0, 0.5]), np.eye(2), np.eye(2)))
    assert lipschitz_start(problem, torch.tensor(gam).double()) is None
    two = Problem.of(block_of([[2.0]], [[1.0]], [[1.0]]))
    assert lipschitz_start(two, torch.tensor([-1.0]).double()) is None


@settings(max_examples=5)
@given(seed=seeds, spread=st.floats(0.0, 6.0))
def test_phase_one_finds_a_metric(seed, spread):
    """(3) holds with Γ = Λ by construction, and rarely with Γ = I."""
    rng = np.random.default_rng(seed)
    parts, _ = parts_with_margin(seed)
    t = 10.0 ** rng.uniform(-spread / 8, spread / 8, 5)
    W = parts["W"] * t / t[:, None]
    gam = monotone_start(Problem.of(block_of(W, parts["U"], parts["G"])))
    assert gam is not None
    assert (gam > 0).all()
    half = gam.numpy()[:, None] * (np.eye(5) - W)
    assert np.linalg.eigvalsh(half + half.T)[0] > 0


@settings(max_examples=5)
@given(seed=seeds, excess=st.floats(1e-6, 10.0), n=st.integers(1, 5))
def test_phase_one_finds_nothing_where_an_eigenvalue_is_beyond_one(seed, excess, n):
    """(3) bounds the real parts of W's eigenvalues by 1."""
    W = np.random.default_rng(seed).standard_normal((n, n))
    W += (1.0 + excess - np.linalg.eigvals(W).real.max()) * np.eye(n)
    assert monotone_start(Problem.of(block_of(W, np.eye(n), np.eye(n)))) is None


def test_phase_one_obeys_a_deadline():
    W = parts_with_margin(3)[0]["W"]
    assert np.linalg.eigvalsh(2 * np.eye(5) - W - W.T)[0] < 0  # so that there is something to do
    problem = Problem.of(block_of(W, np.eye(5), np.eye(5)))
    assert monotone_start(problem) is not None
    assert monotone_start(problem, deadline=time.monotonic() - 1.0) is None


def test_a_monotone_block_starts_at_once():
    problem = Problem.of(mondeq_block(0))
    late = monotone_start(problem, deadline=time.monotonic() - 1.0)
    assert late is not None
    np.testing.assert_array_equal(late.numpy(), 0.5)
