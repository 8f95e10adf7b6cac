"""Paths end where they should, starts lie in the domain."""

import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interior_nets import problem_of, seeds
from lmi_nets import block_of, mondeq_block, parts_with_margin

from certlip.lmi.interior.barrier import Barrier
from certlip.lmi.interior.follow import follow
from certlip.lmi.interior.lipschitz import ROOM, LipschitzBarrier
from certlip.lmi.interior.start import lipschitz_start, monotone_start
from certlip.lmi.problem import Problem


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
