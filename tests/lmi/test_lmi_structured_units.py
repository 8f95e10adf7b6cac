"""The structured solver does not mind units, nor where it starts."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lmi_nets import block_of
from structured_nets import best, found, holds, margin_block, seeds

from certlip.lmi.candidate import OPTIMAL
from certlip.lmi.problem import Problem
from certlip.lmi.solvers.units import Units


@pytest.mark.parametrize(
    ("u", "g"), [(-12, 0), (12, 0), (0, -12), (0, 12), (-12, -12), (100, -100)]
)
def test_units_of_inputs_and_outputs_do_not_matter(u, g):
    W, U, G = margin_block()
    ours = best(block_of(W, U * 10.0**u, G * 10.0**g))
    assert ours.lip / 10.0 ** (u + g) == pytest.approx(best(block_of(W, U, G)).lip, rel=2e-6)


@pytest.mark.parametrize("spread", [3, 6, 12])
def test_units_of_states_do_not_matter(spread):
    W, U, G = margin_block()
    t = 10.0 ** np.linspace(-spread / 2, spread / 2, 5)[[2, 0, 4, 1, 3]]
    other = best(block_of(W * t / t[:, None], U / t[:, None], G * t))
    assert other.lip == pytest.approx(best(block_of(W, U, G)).lip, rel=2e-6)


def test_units_are_exact():
    W, U, G = margin_block()
    problem = Problem.of(block_of(W, U * 1e20, G / 1e15))
    units = Units.of(problem)
    back = units.scaled(problem)
    t = units.t
    assert torch.equal(t.log2(), t.log2().round())
    assert torch.equal(back.W * t[:, None] / t, problem.W)
    assert torch.equal(back.U * t[:, None] * units.u, problem.U)
    assert torch.equal(back.G / t * units.g, problem.G)
    assert 0.5 < back.U.abs().max() < 2.0
    assert 0.5 < back.G.abs().max() < 2.0


def test_units_translate_multipliers():
    W, U, G = margin_block()
    problem = Problem.of(block_of(W, U * 1e3, G / 1e5))
    units = Units.of(problem)
    scaled = units.scaled(problem)
    lam, lip = torch.linspace(1.0, 2.0, 5).double(), 0.7

    def condition(p, lam, lip):
        Lam = torch.diag(lam)
        half = Lam - Lam @ p.W[0]
        return half + half.T - (p.G[0, 0].T @ p.G[0, 0] + Lam @ p.U[0] @ p.U[0].T @ Lam) / lip

    mine = condition(scaled, lam, lip) * units.g / units.u / units.t / units.t[:, None]
    torch.testing.assert_close(mine, condition(problem, units.lam(lam), units.lip(lip)))
    torch.testing.assert_close(units.gam(lam) * units.t**2, lam)


@settings(max_examples=3)
@given(seed=seeds, spread=st.floats(0.0, 12.0), factor=st.floats(-200.0, 200.0))
def test_any_start_ends_at_the_same_bound(seed, spread, factor):
    W, U, G = margin_block()
    block = block_of(W, U, G)
    start = 10.0 ** (factor + np.random.default_rng(seed).uniform(-spread, 0.0, 5))
    candidate = found(block, start)
    assert candidate.status == OPTIMAL
    assert candidate.lip == pytest.approx(best(block).lip, rel=2e-6)


def test_a_start_with_one_tiny_multiplier_does_not_hide_the_optimum():
    block = block_of(np.zeros((2, 2)), np.eye(2), np.eye(2))
    for start in ([1.0, 1e-12], [1e-12, 1.0]):
        candidate = found(block, np.array(start))
        assert candidate.lip == pytest.approx(1.0, rel=2e-6), start


@pytest.mark.parametrize("start", [[1, -1], [-1, -1], [0, 1], [math.nan, 1], [math.inf, 1], [0, 0]])
def test_a_start_that_is_none_is_not_used(start):
    block = block_of([[0.3, -0.5], [0.7, 0.1]], np.eye(2), np.eye(2))
    candidate = found(block, np.array(start, dtype=float))
    assert candidate.status == OPTIMAL
    assert candidate.lip == pytest.approx(best(block).lip, rel=2e-6)


@pytest.mark.parametrize("mu", [1e-3, 1e-6, 1e-9])
def test_at_the_edge_of_monotone_the_bound_is_honest(mu):
    w = 1 - mu
    candidate = found(block_of([[w]], [[1.0]], [[1.0]]))
    true = 1 / (1 - w)
    assert true <= candidate.lip * (1 + 1e-6)
    assert candidate.lip * (1 - candidate.gap) <= true * (1 + 1e-6)
    S = np.array([[0.0, 2.0], [-2.0, 0.0]])
    block = block_of(w * np.eye(2) + S, np.eye(2), np.eye(2))
    both = found(block)
    assert both.lam is not None
    assert holds(block, both, 1 + 1e-3)
