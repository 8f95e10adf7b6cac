"""A linear pass over the last equilibrium: never worse than boxes, and sound for any multipliers."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from certify_nets import NETWORKS as DENSE
from certify_nets import affine, exact
from hypothesis import given, settings
from hypothesis import strategies as st
from interval_nets import contracting, conv_contracting, only, points

from certlip.blocks import Activation, Sigma
from certlip.blocks.activations import ReLU, Tanh
from certlip.certification import Certifier, Status, certify, falsify, parse_eps
from certlip.certification.interval import IntervalBounds, LinfRadii
from certlip.certification.interval import dual as dual_module
from certlip.certification.interval.box import ends
from certlip.certification.interval.dual import DualBounds
from certlip.errors import InputError, UnsupportedError
from certlip.linalg.rigorous.ball import Ball
from certlip.lmi import prove
from certlip.solvers import Evaluator

seeds = st.integers(0, 2**32 - 1)


def behind_layers(seed):
    rng = np.random.default_rng(seed)
    first = affine(rng.standard_normal((5, 4)), rng.standard_normal(5))
    head = affine(rng.standard_normal((3, 3)), rng.standard_normal(3))
    return only(first, Activation(Sigma.of(ReLU(), 5)), contracting(seed), head)


NETWORKS = {"alone": lambda s: only(contracting(s, n=15)), "behind layers": behind_layers}


def margins_of(net, x, r, a, rng, count=40):
    """The least margins (batch, classes) that points of the balls have."""
    inputs = points(net, x, r, rng, count)
    with torch.no_grad():
        y = Evaluator(net)(torch.from_numpy(inputs.reshape(-1, x.shape[1]))).numpy()
    y = y.reshape(count, len(x), -1)
    own = np.take_along_axis(y, np.broadcast_to(a[None, :, None], (count, len(x), 1)), 2)
    return (own - y).min(axis=0)


def case(name, seed, n=12):
    net, rng = NETWORKS[name](seed), np.random.default_rng(seed)
    x, a = rng.standard_normal((n, net.in_width)), rng.integers(0, net.classes, n)
    return net, x, 10.0 ** rng.uniform(-3.0, 0.5, n), a, rng


@settings(max_examples=25)
@given(seed=seeds, name=st.sampled_from(list(NETWORKS)))
def test_margins_lie_between_those_of_boxes_and_those_of_points(seed, name):
    net, x, r, a, rng = case(name, seed)
    plain, dual = IntervalBounds(net), DualBounds(net)
    lower = dual.lower(dual.start(x), r, a)
    assert (lower >= plain.lower(plain.start(x), r, a) - 1e-9).all()
    found = margins_of(net, x, r, a, rng)
    other = np.arange(net.classes) != a[:, None]
    assert (lower <= found + 1e-9 * (1.0 + np.abs(found)))[other].all()
    assert np.isinf(lower[~other]).all()


@pytest.mark.parametrize("size", [0.0, 1.0, 100.0])
def test_any_multipliers_are_sound(size, monkeypatch):
    generator = np.random.default_rng(0)

    def anything(self, g, low, high):
        del self, high
        return size * generator.standard_normal((len(low), *g.shape))

    monkeypatch.setattr(DualBounds, "_guess", anything)
    for seed in range(5):
        net, x, r, a, rng = case("alone", seed)
        dual = DualBounds(net)
        found, other = margins_of(net, x, r, a, rng), np.arange(net.classes) != a[:, None]
        assert (dual.lower(dual.start(x), r, a) <= found + 1e-9)[other].all()


def test_a_bound_is_held_in_rational_arithmetic(monkeypatch):
    net, x, r, a, _ = case("alone", 3, 4)
    dual, seen = DualBounds(net), []
    guess, against = DualBounds._guess, DualBounds._against

    def kept(self, *arguments):
        seen.append([guess(self, *arguments)])
        return seen[-1][0]

    def watched(self, D, x, low, high):
        found = against(self, D, x, low, high)
        seen[-1] += [D, x, low, high, found]
        return found

    monkeypatch.setattr(DualBounds, "_guess", kept)
    monkeypatch.setattr(DualBounds, "_against", watched)
    dual.lower(dual.start(x), r, a)
    assert seen
    for s, D, box, low, high, found in seen:
        for i in range(len(s)):
            for j in range(len(s[i])):
                assert Fraction(found[i, j]) <= _exactly(
                    dual, D, j, s[i, j], box[i], low[i], high[i]
                )


def _exactly(dual, D, j, s, box, low, high):
    """The formula with the middles of all balls."""
    W, U, b = (exact(m.mid) for m in (dual.W, dual.driving.W, dual.driving.b))
    s, g = exact(s), exact(D.W.mid[j])
    a = g + W.T.dot(s)
    total = Fraction(float(D.b.mid[j])) + s.dot(b)
    for a_i, s_i, down, up in zip(a, s, exact(low), exact(high), strict=True):
        values = [a_i * max(v, 0) - s_i * v for v in (down, up)]
        total += min([*values, Fraction(0)] if down < 0 < up else values)
    t = U.T.dot(s)
    return total + t.dot(exact(box.mid)) - np.abs(t).dot(exact(box.radius()))


# --- planted ----------------------------------------------------------------------------------------


def unsound():
    """Whether a margin of some point is below its bound."""
    for seed in range(20):
        net, x, r, a, rng = case("alone", seed)
        dual, other = DualBounds(net), np.arange(net.classes) != a[:, None]
        lower = dual.lower(dual.start(x), r, a)
        if (lower > margins_of(net, x, r, a, rng) + 1e-6)[other].any():
            return True
    return False


def test_a_multiplier_of_the_wrong_sign_is_seen(monkeypatch):
    assert not unsound()
    monkeypatch.setattr(dual_module, "_inner_down", lambda t, x: -_reach(t, x))
    assert unsound()


def _reach(t, x):
    return (t.mid @ x.mid[:, :, None])[..., 0]


def test_a_box_of_inputs_without_its_radius_is_seen(monkeypatch):
    monkeypatch.setattr(dual_module, "_inner_down", _reach)
    assert unsound()


def test_one_end_of_a_state_alone_is_seen(monkeypatch):
    right = dual_module._at
    monkeypatch.setattr(dual_module, "_at", lambda a, s, v: right(a, s, np.maximum(v, 0.5)))
    assert unsound()


def test_another_matrix_is_seen(monkeypatch):
    build = DualBounds.__init__

    def transposed(self, network):
        build(self, network)
        self.W = Ball(self.W.mid.T.copy(), self.W.radius().T.copy())

    monkeypatch.setattr(DualBounds, "__init__", transposed)
    assert unsound()


# --- radii ------------------------------------------------------------------------------------------


def test_radii_are_larger_and_no_attack_breaks_them():
    net = only(contracting(3, n=40, d=6, q=4))
    proof, x = prove(net), np.random.default_rng(0).standard_normal((60, 6))
    with torch.no_grad():
        label = Evaluator(net)(torch.from_numpy(x)).argmax(dim=1).numpy()
    linf, eps = ("linf",), parse_eps("0.05")
    plain = certify(net, proof, x, label, norms=linf, eps_linf=eps)
    certifier = Certifier(net, proof, norms=linf, eps_linf=eps, boxes="dual")
    found = certifier(x, label)
    assert (found.radius_lower >= plain.radius_lower * (1.0 - 1e-3)).all()
    assert found.certified_at(eps[0]).sum() > 1.5 * plain.certified_at(eps[0]).sum()
    kept = found.status == Status.CERTIFIED
    assert "dual" in set(found.method_linf[kept])
    attack = falsify(net, proof, x[kept], label[kept], found.radius_lower[kept], norm="linf")
    assert not attack.broken


@pytest.mark.parametrize(
    "net",
    [
        lambda: DENSE["explicit"](0),
        lambda: only(conv_contracting()),
        lambda: only(contracting(sigma=Sigma.of(Tanh(), 12))),
        lambda: only(contracting(q=3), Activation(Sigma.of(ReLU(), 3))),
        lambda: DENSE["mondeq"](0),
    ],
)
def test_networks_without_a_linear_pass_are_refused(net):
    with pytest.raises(UnsupportedError, match="boxes 'dual'"):
        LinfRadii(net(), boxes="dual")


def test_boxes_of_another_name():
    with pytest.raises(InputError, match="expected one of interval, dual"):
        LinfRadii(only(contracting()), boxes="tight")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_prove_nothing(bad):
    dual = DualBounds(only(contracting()))
    x = np.array([[bad, 0.0, 0.0, 0.0, 0.0], [0.0] * 5])
    lower = dual.lower(dual.start(x), np.full(2, 0.01), np.array([0, 0]))
    assert not (lower[0].min() > 0.0)
    assert np.isfinite(lower[1, 1:]).all()
    low, _ = ends(Ball(np.array([[0.0]]), np.array([[bad]])))
    assert not (low > -1.0).any()
