"""Guesses of equilibria in single precision: what they cost where it has too few digits."""

import numpy as np
import pytest
import torch
from certify_nets import tensor
from interval_nets import only

from certlip.blocks import Equilibrium, Sigma
from certlip.blocks.activations import ReLU
from certlip.certification.interval import IntervalBounds, LinfRadii
from certlip.certification.interval.equilibrium import State
from certlip.certification.interval.single import SingleBounds


def triangular(scale, n=80, depth=4):
    """Layers of n/depth states one after the other, each `scale` times as large as the one before."""
    rng, m = np.random.default_rng(0), n // depth
    W = np.zeros((n, n))
    for k in range(m, n, m):
        W[k : k + m, k - m : k] = scale * rng.standard_normal((m, m)) / np.sqrt(m)
    U, G = rng.standard_normal((n, 5)), rng.standard_normal((3, n)) / np.sqrt(n)
    b_z, b_y = rng.standard_normal(n), np.zeros(3)
    return only(Equilibrium(*map(tensor, (W, U, G, b_z, b_y)), Sigma.of(ReLU(), n)))


def test_a_guess_that_does_not_converge_costs_no_more_than_one_in_double_precision():
    [state] = IntervalBounds(triangular(20.0)).body
    assert isinstance(state, State)
    c = torch.from_numpy(np.random.default_rng(1).standard_normal((64, 160)))
    double, single = state.solver.solve(c), state.roughly().solver.solve(c.float())
    assert double.converged
    assert not single.converged
    assert single.iterations <= double.iterations


@pytest.mark.parametrize("scale", [1e25, 1e38, 1e39])
def test_without_a_resolvent_in_single_precision_guesses_are_double(scale):
    net = triangular(scale, n=12, depth=3)
    bounds = IntervalBounds(net)
    SingleBounds(bounds)
    x = np.random.default_rng(1).standard_normal((3, 5))
    a, l2 = np.zeros(3, dtype=int), np.full(3, 1e-6)
    assert (LinfRadii(net)(x, a, l2).radius_lower > 0.0).all()
