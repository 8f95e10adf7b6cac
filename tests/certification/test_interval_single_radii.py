"""ℓ∞ radii begin in single precision and end in double, and lose nothing by that."""

import numpy as np
import pytest
from certify_nets import affine
from interval_nets import contracting, deep, only

from certlip.blocks import Activation, Sigma
from certlip.blocks.activations import ReLU
from certlip.certification import parse_eps
from certlip.certification.interval import IntervalBounds, LinfRadii
from certlip.certification.interval.bounds import MarginBounds
from certlip.certification.interval.single import SingleBounds

NETWORKS = {
    "equilibrium": lambda: only(contracting(1)),
    "explicit": lambda: only(*deep(np.random.default_rng(0))),
}


class Counted:
    """How often margins were asked for, by class of bounds."""

    def __init__(self, monkeypatch):
        self.times = {IntervalBounds: 0, SingleBounds: 0}
        real = MarginBounds.lower

        def lower(bounds, start, r, a):
            self.times[type(bounds)] += 1
            return real(bounds, start, r, a)

        monkeypatch.setattr(MarginBounds, "lower", lower)


def sure(net, x):
    """Made-up ℓ2 radii where class 0 is proven at the sample."""
    a = np.zeros(len(x), dtype=int)
    holds_there = IntervalBounds(net).around(x, a)(np.zeros(len(x))).min(axis=1) > 0.0
    assert holds_there.any()
    return a, np.where(holds_there, 1e-4, 0.0)


@pytest.mark.parametrize("name", NETWORKS)
def test_radii_begin_in_single_precision_and_end_in_double(name, monkeypatch):
    net = NETWORKS[name]()
    x = np.random.default_rng(0).standard_normal((50, net.in_width))
    a, l2 = sure(net, x)
    counted = Counted(monkeypatch)
    found = LinfRadii(net, parse_eps("0.01,0.02,0.05"))(x, a, l2)
    times = dict(counted.times)
    without = LinfRadii(net, parse_eps("0.01,0.02,0.05"))
    assert without.single is not None
    without.single.faster = False
    plain = without(x, a, l2)
    assert counted.times[SingleBounds] == times[SingleBounds] > 0
    assert times[IntervalBounds] < counted.times[IntervalBounds] - times[IntervalBounds]
    np.testing.assert_allclose(found.radius_lower, plain.radius_lower, rtol=2e-4)
    assert list(found.method) == list(plain.method)


def test_an_eps_that_only_double_precision_proves_is_proven():
    # the margin is x − r, by way of numbers near 1000, which cost floats 1e-3 of it
    there, back = affine(np.eye(1), np.array([1e3])), np.array([[1.0], [0.0]])
    net = only(there, Activation(Sigma.of(ReLU(), 1)), affine(back, np.array([-1e3, 0.0])))
    x, a, l2 = np.array([[0.1]]), np.array([0]), np.array([1e-3])
    [eps] = parse_eps("0.0999999")
    single = SingleBounds(IntervalBounds(net))
    assert single.faster
    assert not single.around(x, a)(np.array([0.0998])).min() > 0.0
    assert LinfRadii(net, [eps])(x, a, l2).radius_lower[0] >= eps.upper
    assert 0.0998 < LinfRadii(net)(x, a, l2).radius_lower[0] < eps.upper


def test_bounds_in_single_precision_that_prove_nothing_cost_no_radius(monkeypatch):
    net = NETWORKS["explicit"]()
    x = np.random.default_rng(0).standard_normal((20, net.in_width))
    a, l2 = sure(net, x)
    expected = LinfRadii(net)(x, a, l2)
    monkeypatch.setattr(
        SingleBounds, "_lower", lambda self, box, a: np.full((len(a), self.classes), np.nan)
    )
    found = LinfRadii(net)(x, a, l2)
    np.testing.assert_allclose(found.radius_lower, expected.radius_lower, rtol=2e-4)
