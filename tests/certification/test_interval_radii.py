"""ℓ∞ radii: proven at the number that is reported, the better of two methods, the same in any company."""

import numpy as np
import pytest
import torch
from certify_nets import NETWORKS as DENSE
from certify_nets import affine, samples
from interval_nets import contracting, conv_contracting, only

from certlip.blocks import Activation, Sigma
from certlip.blocks.activations import ReLU
from certlip.certification import (
    Certifier,
    Status,
    Tally,
    certify,
    falsify,
    is_row,
    parse_eps,
    parse_norms,
    radii_of_rows,
    sample_rows,
)
from certlip.certification.enclosure.network import ROWS
from certlip.certification.interval import IntervalBounds, LinfRadii
from certlip.certification.interval.radii import CLOSE
from certlip.errors import InputError, UnsupportedError
from certlip.lmi import prove
from certlip.solvers import Evaluator

BOTH = ("l2", "linf")


def labelled(net, n, seed=0, spread=1.0):
    """Inputs and the classes that the network gives them, but for every tenth."""
    x = spread * np.random.default_rng(seed).standard_normal((n, net.in_width))
    with torch.no_grad():
        label = Evaluator(net)(torch.from_numpy(x)).argmax(dim=1).numpy()
    label[::10] = (label[::10] + 1) % net.classes
    return x, label


NETWORKS = {
    "dense": lambda: only(contracting(1)),
    "torus": lambda: only(conv_contracting(1), affine(np.eye(3, 24))),
    "explicit": lambda: DENSE["explicit"](1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_radius_is_proven_and_nearly_the_largest(name):
    net = NETWORKS[name]()
    x, label = labelled(net, 60)
    found = certify(net, prove(net), x, label, norms=BOTH, eps_linf=parse_eps("0.01,0.05"))
    assert found.radius_linf is not None
    assert found.method_linf is not None
    boxes = found.method_linf == "interval"
    bounds = IntervalBounds(net)

    def holds(r):
        return bounds.lower(bounds.start(x), r, found.label).min(axis=1) > 0.0

    assert holds(found.radius_linf)[boxes].all()
    larger = found.radius_linf * (1.0 + 2.0 * CLOSE)
    assert not holds(larger)[boxes].any()
    derived = found.radius_lower / np.sqrt(net.in_width)
    assert (found.radius_linf >= derived * (1.0 - 1e-12)).all()
    assert (
        found.radius_linf[found.method_linf == "l2"] <= derived[found.method_linf == "l2"]
    ).all()
    none = found.status != Status.CERTIFIED
    assert none.any()
    assert not found.radius_linf[none].any()
    assert all(method is None for method in found.method_linf[none])


@pytest.mark.parametrize("name", NETWORKS)
def test_no_attack_breaks_a_radius(name):
    net = NETWORKS[name]()
    proof = prove(net)
    x, label = labelled(net, 40)
    found = certify(net, proof, x, label, norms=("linf",))
    kept = found.status == Status.CERTIFIED
    result = falsify(net, proof, x[kept], label[kept], found.radius_lower[kept], norm="linf")
    assert result.attacked >= 30
    assert not result.broken


def test_attacks_break_radii_that_are_too_large():
    net = only(affine(np.array([[1.0, 0.5], [0.0, 0.0]])))
    x, label = np.array([[0.3, 0.2]]), np.array([0])
    exact = 0.4 / 1.5
    found = certify(net, prove(net), x, label, norms=("linf",))
    assert exact * (1.0 - 2.0 * CLOSE) <= found.radius_lower[0] < exact
    result = falsify(net, prove(net), x, label, np.array([exact * 1.001]), norm="linf")
    assert len(result.broken) == 1


def test_an_eps_that_holds_is_certified_exactly():
    # the margin is x − r: every ε below x holds, however near
    net = only(affine(np.array([[1.0], [0.0]])))
    x, label = np.array([[0.1]]), np.array([0])
    [eps] = parse_eps("0.09999999999")
    found = certify(net, prove(net), x, label, norms=("linf",), eps_linf=[eps])
    assert found.certified_at(eps).all()
    assert found.radius_lower[0] < 0.1


def test_of_two_methods_the_better_one_is_reported():
    # there and back by a rotation: boxes grow at both turns, the ℓ2 norm at neither
    angle = np.pi / 8
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array([10.0, 10.0])
    net = only(affine(R, shift), Activation(Sigma.of(ReLU(), 2)), affine(R.T, -R.T @ shift))
    x, a = np.array([[1.0, 0.0]]), np.array([0])
    found = certify(net, prove(net), x, a, norms=BOTH)
    assert found.method_linf[0] == "l2"
    assert found.radius_linf[0] == pytest.approx(0.5)
    boxes = LinfRadii(net)(x, a, np.array([1e-9]))
    assert boxes.method[0] == "interval"
    grown = 2.0**0.5 * (np.cos(angle) + np.sin(angle)) ** 2
    assert boxes.radius_lower[0] == pytest.approx(1.0 / grown, rel=1e-3)


def test_without_interval_bounds_radii_come_from_l2():
    net = DENSE["mondeq"](0)
    proof = prove(net)
    x, label = samples(net, 20)
    certifier = Certifier(net, proof, norms=BOTH)
    assert certifier.linf is not None
    assert "may not exist" in (certifier.linf.reason or "")
    found = certifier(x, label)
    has = found.status == Status.CERTIFIED
    assert has.any()
    assert set(found.method_linf[has]) == {"l2"}
    assert (found.radius_linf * 2.0 <= found.radius_lower).all()  # √4 inputs
    assert (found.radius_linf[has] * 2.0 >= found.radius_lower[has] * (1 - 1e-12)).all()


@pytest.mark.parametrize("name", ["dense", "explicit"])
def test_company_changes_no_radius(name):
    net = NETWORKS[name]()
    proof = prove(net)
    x, label = labelled(net, ROWS + 40)
    whole = certify(net, proof, x, label, norms=BOTH)
    few = certify(net, proof, x[:70], label[:70], norms=BOTH)
    assert np.array_equal(whole.radius_linf[:70], few.radius_linf)
    mixed = label.copy()
    mixed[1::2] = (mixed[1::2] + 1) % net.classes  # half of them are misclassified now
    other = certify(net, proof, x, mixed, norms=BOTH)
    assert np.array_equal(other.radius_linf[::2], whole.radius_linf[::2])


def test_one_norm_or_two_give_the_same_numbers():
    net = NETWORKS["dense"]()
    proof = prove(net)
    x, label = labelled(net, 50)
    l2, linf, both = (certify(net, proof, x, label, norms=n) for n in (("l2",), ("linf",), BOTH))
    assert l2.radius_linf is None
    assert np.array_equal(l2.radius_lower, both.radius_lower)
    assert np.array_equal(linf.radius_lower, both.radius_linf)
    assert np.array_equal(linf.radius_lower, linf.radius_linf)
    assert list(linf.status) == list(both.status)


def test_rows_of_both_norms_and_their_counts():
    net = NETWORKS["dense"]()
    x, label = labelled(net, 50)
    eps = parse_eps("0.001,0.01,1")
    found = certify(net, prove(net), x, label, norms=BOTH, eps_linf=eps)
    rows = sample_rows(found)
    assert all(is_row(row, i, int(label[i])) for i, row in enumerate(rows))
    counted = Tally.of(rows, eps, eps)
    for e in eps:
        assert counted.linf[e.text] == int((found.radius_linf >= e.upper).sum())
        assert counted.certified[e.text] == int(found.certified_at(e).sum())
    assert sum(counted.methods.values()) == counted.with_radius
    assert np.array_equal(radii_of_rows(rows, {}).radius_lower, found.radius_lower)


@pytest.mark.parametrize(
    "change",
    [
        {"radius_lower_linf": "-0.1"},
        {"radius_lower_linf": "inf"},
        {"radius_lower_linf": "nan"},
        {"radius_lower_linf": 0.5},
        {"radius_lower_linf": "0.0"},
        {"radius_lower_linf": "0.50"},
        {"method_linf": None},
        {"method_linf": "guess"},
        {"status": "unknown", "radius_lower": "0.0"},
        {"norm": "linf"},
    ],
)
def test_rows_that_no_certification_wrote(change):
    net = NETWORKS["dense"]()
    x, label = labelled(net, 5)
    row = sample_rows(certify(net, prove(net), x, label, norms=BOTH))[1]
    assert is_row(row, 1, int(label[1]))
    assert not is_row({**row, **change}, 1, int(label[1]))
    for name in ("radius_lower_linf", "method_linf"):
        assert not is_row({k: v for k, v in row.items() if k != name}, 1, int(label[1]))


def test_float32_semantics_has_no_boxes():
    net = DENSE["explicit"](0)
    with pytest.raises(UnsupportedError, match="boxes bound real"):
        Certifier(net, prove(net), semantics="float32", norms=BOTH)


@pytest.mark.parametrize("text", ["l1", "", "l2,l2", "linf;l2"])
def test_norms_that_are_none(text):
    with pytest.raises(InputError, match="--norm"):
        parse_norms(text)


def test_norms_have_an_order():
    assert parse_norms("linf, l2") == BOTH
    assert parse_norms("linf") == ("linf",)
