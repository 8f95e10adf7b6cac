"""Brackets of radii: what is proven was proven, and no bracket takes long."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interval_nets import contracting, only

from certlip.certification import parse_eps
from certlip.certification.interval import LinfRadii
from certlip.certification.interval.dual import DualBounds
from certlip.certification.interval.search import SPARE, Search

SHAPES = {
    "line": lambda t: 1.0 - t,
    "concave": lambda t: 1.0 - t**4,
    "convex": lambda t: (1.0 - t) / (1.0 + 3.0 * t),
    "cliff": lambda t: np.where(t < 1.0, 1.0 - 0.01 * t, -50.0 * t),
    "step": lambda t: np.where(t < 1.0, 1.0, -1.0),
    "nan": lambda t: np.where(t < 1.0, 1.0 - t, np.nan),
    "overflow": lambda t: np.where(t < 1.0, 1.0 - t, -np.inf),
}


class Recorded:
    """Margins of a shape, and all that was asked of them."""

    def __init__(self, shape, root):
        self.shape, self.root, self.asked = SHAPES[shape], root, []

    def __call__(self, r):
        self.asked.append(r)
        with np.errstate(invalid="ignore"):
            margin = np.where(np.isnan(r), np.nan, self.shape(r / self.root))
        return np.stack([np.full(len(r), np.inf), margin], axis=1)

    def times(self):
        """How often every row was asked for."""
        return (~np.isnan(self.asked)).sum(axis=0)


@pytest.mark.parametrize("shape", SHAPES)
@given(
    roots=st.lists(st.floats(-6.0, 0.0), min_size=1, max_size=5),
    gap=st.sampled_from([1e-1, 1e-3, 1e-4]),
)
def test_brackets_close_around_the_root(shape, roots, gap):
    root = 10.0 ** np.array(roots)
    lower = Recorded(shape, root)
    search = Search(lower, 0.01 * root)
    all_rows = np.ones(len(root), dtype=bool)
    search.close(gap, all_rows)
    assert (search.proven < root * (1.0 + 1e-12)).all()
    assert (search.worst >= root * (1.0 - 1e-12)).all()
    assert (search.worst - search.proven <= gap * search.proven * (1.0 + 1e-12)).all()
    assert search.by_box.all()
    upwards = math.ceil(math.log(100.0, 4.0)) + 1
    halvings = math.ceil(math.log2(3.0 / gap))
    assert (lower.times() <= upwards + halvings + SPARE + 1).all()
    asked = np.array(lower.asked)
    for i, r in enumerate(search.proven):
        assert r in asked[:, i]


@pytest.mark.parametrize(("shape", "most"), [("line", 5), ("convex", 10), ("concave", 12)])
def test_smooth_margins_take_few_steps(shape, most):
    root = 10.0 ** np.random.default_rng(0).uniform(-2.0, 0.0, 100)
    lower = Recorded(shape, root)
    search = Search(lower, 0.1 * root)
    search.close(1e-4, np.ones(100, dtype=bool))
    assert lower.times().max() <= most  # with halving 17


def test_a_margin_of_zero_proves_nothing():
    search = Search(lambda r: np.zeros((len(r), 2)), np.array([1e-3]))
    search.close(1e-2, np.array([True]))
    assert search.proven[0] == 1e-3
    assert not search.by_box[0]


def test_rows_do_not_feel_each_other():
    rng = np.random.default_rng(0)
    root = 10.0 ** rng.uniform(-3.0, 0.0, 6)

    def found(rows):
        search = Search(Recorded("concave", root[rows]), 1e-2 * root[rows])
        search.close(1e-4, np.ones(len(rows), dtype=bool))
        return search.proven

    whole = found(np.arange(6))
    for i in range(6):
        assert found(np.array([i]))[0] == whole[i]


def test_rows_that_are_not_wanted_are_not_asked_for():
    lower = Recorded("line", np.array([0.3, 0.4]))
    search = Search(lower, np.array([1e-2, 1e-2]))
    search.close(1e-3, np.array([True, False]))
    assert lower.times()[1] == 0
    assert search.proven[1] == 1e-2
    assert not search.by_box[1]


def test_an_unbounded_radius_ends():
    search = Search(lambda r: np.ones((len(r), 2)), np.array([1e-3]))
    search.close(1e-4, np.array([True]))
    assert np.isinf(search.worst[0])
    assert search.proven[0] > 1e20


@pytest.mark.parametrize("shape", ["line", "convex", "concave"])
def test_a_second_search_goes_on_where_the_first_one_failed(shape):
    rows = np.ones(50, dtype=bool)
    root = 10.0 ** np.random.default_rng(0).uniform(-2.0, 0.0, 50)
    first = Search(Recorded(shape, 0.998 * root), 0.1 * root)
    first.close(1e-3, rows)
    lower = Recorded(shape, root)  # a little more can be proven
    search = Search(lower, 0.1 * root)
    search.follow(first)
    search.attempt(first.worst, rows)
    search.close(1e-4, rows)
    np.testing.assert_allclose(search.proven, root, rtol=1.1e-4)
    assert lower.times().max() <= 4


def test_what_the_first_search_proved_stays():
    first = Search(Recorded("line", np.array([0.3])), np.array([1e-3]))
    one = np.array([True])
    first.close(1e-3, one)
    search = Search(lambda r: np.full((len(r), 2), np.nan), np.array([1e-3]))
    search.follow(first)
    search.attempt(first.worst, one)
    search.close(1e-4, one)
    assert search.proven[0] == first.proven[0]
    assert search.by_box[0]


def test_an_eps_beyond_a_radius_where_the_linear_pass_fails():
    # the margin of this sample is negative from 0.244 to 0.29, and positive again at 0.3
    net = only(contracting(1))
    x, l2 = np.random.default_rng(3).standard_normal((130, 5))[31:32], np.array([1e-4])
    [eps] = parse_eps("0.3")
    bounds = DualBounds(net)
    [a] = [k for k in range(3) if bounds.around(x, np.array([k]))(np.zeros(1)).min() > 0.0]
    lower = bounds.around(x, np.array([a]))
    assert not lower(np.array([0.26])).min() > 0.0
    assert lower(np.array([eps.upper])).min() > 0.0
    assert LinfRadii(net, [eps], "dual")(x, np.array([a]), l2).radius_lower[0] >= eps.upper
