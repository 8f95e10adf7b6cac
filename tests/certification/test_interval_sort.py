"""Sorting entries of which nothing is known."""

import numpy as np
import pytest
from certify_nets import affine
from interval_nets import only

from certlip.blocks import Activation, GroupSort, Resize, Sigma
from certlip.blocks.activations import ReLU
from certlip.certification.interval import IntervalBounds
from certlip.certification.interval.moves import group_sort
from certlip.certification.interval.single import SingleBounds
from certlip.linalg.rigorous.ball import Ball

NOTHING = [
    (np.nan, np.nan),
    (np.inf, 1.0),
    (-np.inf, 1.0),
    (np.nan, 1.0),
    (0.0, np.inf),
    (0.0, np.nan),
]


@pytest.mark.parametrize("entry", NOTHING)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_unknown_number_may_take_any_place(entry, at):
    mid, rad = np.array([[1.0, 2.0, 3.0]]), np.full((1, 3), 0.1)
    mid[0, at], rad[0, at] = entry
    [step] = group_sort(GroupSort(3, 3, 1))
    with np.errstate(invalid="ignore"):
        found = step(Ball(mid, rad))
        low, high = found.mid - found.radius(), found.mid + found.radius()
    known = sorted(np.delete([1.0, 2.0, 3.0], at), reverse=True)
    for other in (-1e9, 2.5, 1e9):
        y = np.array(sorted([*known, other], reverse=True))
        # NaN says nothing
        assert not ((y < low) | (y > high)).any()


@pytest.mark.parametrize("big", [1e38, 1e308])
@pytest.mark.parametrize("order", [[-3.0, -3.0, 6.5], [-3.0, 6.5, -3.0], [6.5, -3.0, -3.0]])
def test_a_sum_that_overflowed_is_not_sorted_last(big, order):
    # f_0 − f_1 = (0.2 − max {0.5, 0.1})·big, and a part of the sum 0.5 is −6
    W = np.sqrt(big) * np.array([order, [0.0, 0.0, 0.1]])
    net = only(
        *(affine(np.sqrt(big) * np.eye(3)), Activation(Sigma.of(ReLU(), 3)), affine(W)),
        *(GroupSort(2, 2, 1), Resize(2, 1), affine([[0.0], [1.0]], [0.2 * big, 0.0])),
    )
    bounds = IntervalBounds(net)
    for each in (bounds, SingleBounds(bounds)):
        lower = each.around(np.ones((1, 3)), np.zeros(1, dtype=int))(np.full(1, 1e-6))[0, 1]
        assert not lower > -0.29 * big
