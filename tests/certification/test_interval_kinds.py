"""Boxes of every kind of block in single precision, and that every kind is among the networks."""

import numpy as np
import pytest
import torch
from interval_nets import NETWORKS, points

from certlip.certification.interval import IntervalBounds
from certlip.certification.interval.network import INTERVALS
from certlip.certification.interval.single import SingleBounds
from certlip.solvers import Evaluator


def test_every_kind_of_block_is_among_the_networks():
    found = {type(block) for make in NETWORKS.values() for block in make(0).blocks}
    assert found == set(INTERVALS)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", NETWORKS)
def test_no_point_of_a_ball_is_below_a_margin_in_single_precision(name, seed):
    net, rng = NETWORKS[name](seed), np.random.default_rng(seed)
    x = rng.standard_normal((7, net.in_width))
    r = np.array([0.0, 1e-12, 1e-5, 1e-3, 0.1, 1.0, 30.0])
    a = rng.integers(0, net.classes, 7)
    bounds = IntervalBounds(net)
    double, single = bounds.around(x, a)(r), SingleBounds(bounds).around(x, a)(r)
    inputs = torch.from_numpy(points(net, x, r, rng).reshape(-1, net.in_width))
    with torch.no_grad():
        y = Evaluator(net)(inputs)
    y = y.numpy().reshape(-1, 7, net.classes)
    margins = (y[:, np.arange(7), a][:, :, None] - y).min(axis=0)
    others = np.arange(net.classes) != a[:, None]
    room = 1e-9 * (1.0 + np.abs(y).max(axis=(0, 2)))[:, None]  # the evaluation is no exact one
    assert (single <= margins + room)[others].all()
    assert (single <= double + room)[others].all()
    # what floats lose: little, and in proportion to the numbers on the way and to the ball
    size = 1.0 + np.abs(y).max(axis=(0, 2)) + np.abs(double[others].reshape(7, -1)).max(axis=1)
    assert (single >= double - 1e-2 * size[:, None])[others].all()
