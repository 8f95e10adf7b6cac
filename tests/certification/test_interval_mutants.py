"""Planted bugs of interval bounds: points outside of the box are seen, or nothing is proven."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from certify_nets import affine, exact, tensor
from interval_nets import contracting, exact_interval, only, violations

from certlip.blocks import Activation, Equilibrium, Sigma
from certlip.blocks.activations import ReLU
from certlip.certification.interval import IntervalBounds, LinfRadii
from certlip.certification.interval import activation as activation_module
from certlip.certification.interval import affine as affine_module
from certlip.certification.interval import equilibrium as equilibrium_module
from certlip.certification.interval import relu as relu_module
from certlip.certification.interval.affine import Matrix
from certlip.certification.interval.box import around, between, ends
from certlip.certification.interval.equilibrium import State
from certlip.certification.interval.margins import Margins
from certlip.certification.interval.perron import Perron
from certlip.linalg.rigorous.ball import Ball


def equilibrium_net():
    return only(contracting(7, n=10, norm=0.7))


def explicit_net():
    rng = np.random.default_rng(3)
    return only(
        affine(rng.standard_normal((6, 4)), rng.standard_normal(6)),
        Activation(Sigma.of(ReLU(), 6)),
        affine(rng.standard_normal((3, 6)), rng.standard_normal(3)),
    )


def seen(net):
    """Whether points leave the box, or nothing is proven any more."""
    rng = np.random.default_rng(0)
    x, r = rng.standard_normal((20, net.in_width)), np.full(20, 0.5)
    return violations(net, IntervalBounds(net), x, r, rng, 60) > 0


@pytest.mark.parametrize("net", [equilibrium_net, explicit_net])
def test_nothing_is_seen_without_a_bug(net):
    assert not seen(net())


def planted(monkeypatch, change):
    """Every product of a box gives change(step, box) in its place."""
    for name in ("onward", "widened"):
        right = getattr(Matrix, name)
        monkeypatch.setattr(Matrix, name, lambda self, box, f=right: change(self, f(self, box)))


@pytest.mark.parametrize("net", [equilibrium_net, explicit_net])
def test_a_bias_in_one_half_only(net, monkeypatch):
    def upper_end_only(step, box):
        low, high = ends(box)
        low = low - step.bias
        return between(low, np.maximum(high, low))

    planted(monkeypatch, upper_end_only)
    assert seen(net())


class Signed(Matrix):
    """W in place of |W|: [z̄; z̲] through [[W₋, W₊], [W₊, W₋]] where W is negative."""

    def __init__(self, W, b):
        super().__init__(W, b)
        self.size_T = self.mid_T


def test_positive_and_negative_parts_swapped(monkeypatch):
    monkeypatch.setattr(affine_module, "Matrix", Signed)
    monkeypatch.setattr(equilibrium_module, "Matrix", Signed)
    for net in (equilibrium_net(), explicit_net()):
        with pytest.raises(ValueError, match="expected ≥ 0"):  # a radius below zero is no radius
            seen(net)


def test_a_centre_alone(monkeypatch):
    planted(monkeypatch, lambda _, box: Ball(box.mid))
    assert seen(explicit_net())


def test_rounding_inwards(monkeypatch):
    rng, net = np.random.default_rng(5), explicit_net()
    x, r = rng.standard_normal((10, 4)), np.zeros(10)

    def outside():
        low, high = (map(exact, end) for end in ends(IntervalBounds(net)(around(x, r))))
        wanted = [exact_interval(net, row, 0.0) for row in x]
        return sum(
            int((a > w[0]).any() or (b < w[1]).any())
            for a, b, w in zip(low, high, wanted, strict=True)
        )

    assert outside() == 0
    planted(monkeypatch, lambda _, box: Ball(box.mid, 0.0 * box.mid))
    monkeypatch.setattr(activation_module, "TINY", 0.0)
    monkeypatch.setitem(relu_module.ROUNDING, np.dtype(np.float64), (0.0, 0.0))
    assert outside() > 0


def test_uniform_inflation_can_fail_where_that_along_v_holds():
    # the spectral radius is 0.5, but the first row of |W| adds up to 3.5
    W = np.array([[0.5, 3.0], [0.0, 0.5]])
    one = torch.eye(2, dtype=torch.float64)
    block = Equilibrium(
        tensor(W), one, one, tensor([0.1, 0.1]), tensor([0.0, 0.0]), Sigma.of(ReLU(), 2)
    )
    [driving, state, _] = IntervalBounds(only(block)).steps
    assert isinstance(state, State)
    box = driving(around(np.ones((1, 2)), np.array([0.1])))
    z = state.guess(box)
    short = Ball(z.mid, z.radius() * (1.0 - 1e-6))
    assert np.isfinite(state.verified(box, short).mid).all()
    state.perron = Perron(np.ones(2), 0.5)  # claimed, and wrong
    assert np.isnan(state.verified(box, short).mid).all()
    assert Perron.of(W) is not None


@pytest.mark.parametrize("guess", ["zero", "far", "nan"])
def test_a_guess_costs_width_and_never_truth(guess, monkeypatch):
    net = equilibrium_net()

    def bad(_self, box):
        mid = {"zero": 0.0, "far": 100.0, "nan": np.nan}[guess] + 0.0 * box.mid
        return Ball(mid, 0.0 * box.mid)

    monkeypatch.setattr(State, "guess", bad)
    x, r = np.random.default_rng(0).standard_normal((5, 5)), np.full(5, 0.1)
    low, high = ends(IntervalBounds(net)(around(x, r)))
    if guess == "nan":
        assert np.isnan(low).all()
        radii = LinfRadii(net)(x, np.zeros(5, dtype=int), np.full(5, 1e-3))
        assert set(radii.method) == {"l2"}
    else:
        assert not seen(net)
        assert np.isfinite(high - low).all()


def test_two_separate_bounds_are_worse_than_merged_rows():
    net = explicit_net()
    bounds = IntervalBounds(net)
    x, r, a = np.random.default_rng(1).standard_normal((9, 4)), np.full(9, 0.3), np.zeros(9, int)
    merged = bounds.lower(bounds.start(x), r, a)[:, 1:]
    low, high = ends(bounds(around(x, r)))
    apart = low[:, :1] - high[:, 1:]
    assert (merged >= apart - 1e-12).all()
    assert (merged > apart + 1e-3).mean() > 0.5


def test_the_rounding_of_the_difference_of_two_rows_is_counted():
    # w_a − w_j is 1 + 2⁻⁶⁰ exactly: the double next to it is 1, and x shows what is missing
    tail = Matrix(np.array([[1.0], [-(2.0**-60)]]), np.array([0.0, 0.0]))
    lower = Margins([tail]).lower(Ball(np.array([[-1.0]])), np.array([0]))[0, 1]
    assert Fraction(lower) <= -1 - Fraction(2) ** -60


def test_margins_through_two_matrices_are_held():
    rng = np.random.default_rng(2)
    A, B = rng.standard_normal((4, 3)), rng.standard_normal((3, 4))
    b, c, x = rng.standard_normal(4), rng.standard_normal(3), rng.standard_normal((6, 3))
    r, a = np.full(6, 0.25), rng.integers(0, 3, 6)
    lower = Margins([Matrix(A, b), Matrix(B, c)]).lower(around(x, r), a)
    M, m = exact(B).dot(exact(A)), exact(B).dot(exact(b)) + exact(c)
    for row, own, found in zip(x, a, lower, strict=True):
        D = M[own] - M
        wanted = D.dot(exact(row)) + m[own] - m - Fraction(1, 4) * np.abs(D).sum(axis=1)
        for j in range(3):
            if j != own:
                assert Fraction(found[j]) <= wanted[j]
                assert found[j] == pytest.approx(float(wanted[j]), abs=1e-12)
