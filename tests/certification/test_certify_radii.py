"""Radii: below the exact quotient and close to it, whatever the batch, and never for a tie."""

import functools
from fractions import Fraction

import numpy as np
import pytest
import torch
from certify_nets import NETWORKS, affine, exact, exact_output, lben_block, normalize, samples, sll

from certlip.blocks import Network
from certlip.certification import Status, certify, parse_eps, sample_rows
from certlip.certification.enclosure import network as enclosure_module
from certlip.certification.enclosure.guesses import Guesses
from certlip.errors import InputError
from certlip.lmi import prove
from certlip.lmi.pairs import pair_bounds
from certlip.solvers import Evaluator


def pairs_of(network, proof):
    return pair_bounds(network, proof.lip, proof.before_last())


def radii_of(network, x, label, **options):
    return certify(network, prove(network), x, label, **options)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_two_class_affine_radius_is_the_distance_to_the_hyperplane_from_below(scale):
    rng = np.random.default_rng(0)
    W, b = scale * rng.standard_normal((2, 5)), rng.standard_normal(2)
    network = Network([affine(W, b)])
    x, label = samples(network, 20)
    result = radii_of(network, x, label)
    assert (result.status == Status.CERTIFIED).all()
    w = exact(W)[0] - exact(W)[1]
    for row, a, radius in zip(x, label, result.radius_lower, strict=True):
        y = exact_output(network, row)
        ratio = (y[a] - y[1 - a]) ** 2 / w.dot(w)  # the exact radius, squared
        assert 0 < Fraction(float(radius)) ** 2 < ratio
        assert Fraction(float(radius)) ** 2 > ratio * (1 - Fraction(2, 10**9))


@pytest.mark.parametrize("name", NETWORKS)
def test_radius_is_strictly_below_the_exact_quotient(name):
    network = NETWORKS[name](2)
    proof = prove(network)
    x, label = samples(network, 4)
    result, bounds = certify(network, proof, x, label), exact(pairs_of(network, proof))
    for row, a, radius in zip(x, label, result.radius_lower, strict=True):
        y = exact_output(network, row)
        quotient = min((y[a] - y[j]) / bounds[a, j] for j in range(3) if j != a)
        assert Fraction(float(radius)) < quotient
        assert radius > float(quotient) * (1 - 1e-7)


@pytest.mark.parametrize("name", NETWORKS)
def test_pair_bounds_are_at_least_the_steepest_difference(name):
    network = NETWORKS[name](1)
    bounds = pairs_of(network, prove(network))
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)).double()
    for a in range(3):
        for b in {0, 1, 2} - {a}:
            point = x.clone().requires_grad_(True)
            y = Evaluator(network, tol=1e-12)(point)
            (slope,) = torch.autograd.grad((y[:, a] - y[:, b]).sum(), point)
            assert float(slope.norm(dim=1).max()) <= bounds[a, b] * (1 + 1e-9)


def test_pair_bounds_count_the_normalization_and_root_two():
    eye = np.eye(3)
    plain = pairs_of(Network([affine(eye)]), prove(Network([affine(eye)])))
    scaled = Network([normalize(3, std=0.25), affine(eye)])
    assert plain[0, 1] == pytest.approx(np.sqrt(2), rel=1e-12)
    assert pairs_of(scaled, prove(scaled))[0, 1] == pytest.approx(4 * np.sqrt(2), rel=1e-12)
    general = Network([lben_block(0)])
    proof = prove(general)
    assert pairs_of(general, proof)[0, 1] >= np.sqrt(2) * proof.lip.value


@pytest.mark.parametrize("name", ["lben", "mondeq"])
@pytest.mark.parametrize("tol", [1e-2, 1e-1])
def test_stopping_early_costs_radius_and_never_adds_any(monkeypatch, name, tol):
    network = NETWORKS[name](3)
    proof = prove(network)
    x, label = samples(network, 60)
    full = certify(network, proof, x, label)
    early_guesses = functools.partial(Guesses, tol=tol)
    monkeypatch.setattr(enclosure_module, "Guesses", early_guesses)
    early = certify(network, proof, x, full.label)
    assert (early.radius_lower <= full.radius_lower * (1 + 1e-9)).all()
    assert early.radius_lower.sum() < full.radius_lower.sum()
    assert early.residual.max() > 1e-4
    bounds = exact(pairs_of(network, proof))
    for i in range(3):
        y, a = exact_output(network, x[i]), label[i]
        quotient = min((y[a] - y[j]) / bounds[a, j] for j in range(3) if j != a)
        assert early.radius_lower[i] == 0.0 or Fraction(float(early.radius_lower[i])) < quotient


@pytest.mark.parametrize("name", NETWORKS)
def test_a_limit_changes_no_result_and_another_batch_none_beyond_rounding(name):
    network = NETWORKS[name](4)
    proof = prove(network)
    x, label = samples(network, 300)
    whole = certify(network, proof, x, label, keep_states=True)
    for limit in (1, 37, 256, 299):
        part = certify(network, proof, x[:limit], label[:limit], keep_states=True)
        for field in ("predicted", "status", "margin_lower", "radius_lower", "residual"):
            np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[:limit])
        for k, states in part.states.items():
            np.testing.assert_array_equal(states, whole.states[k][:limit])
    order = np.random.default_rng(0).permutation(300)
    other = certify(network, proof, x[order], label[order])
    np.testing.assert_array_equal(other.status, whole.status[order])
    np.testing.assert_allclose(other.radius_lower, whole.radius_lower[order], rtol=1e-8)


@pytest.mark.parametrize("W", [np.zeros((3, 4)), np.ones((3, 4))])
def test_a_tie_is_never_certified(W):
    x = np.random.default_rng(0).standard_normal((10, 4))
    for label in range(3):
        result = radii_of(Network([affine(W)]), x, np.full(10, label))
        assert not (result.status == Status.CERTIFIED).any()
        assert (result.radius_lower == 0).all()
    first = radii_of(Network([affine(W)]), x, np.zeros(10, dtype=np.int64))
    assert (first.status == Status.UNKNOWN).all()


def test_a_margin_below_the_enclosure_is_unknown():
    network = Network([affine([[1.0, 1e8], [0.0, 1e8]])])
    x = np.array([[1e-9, 1.0]])  # the margin is real, and far below the rounding of 1e8
    result = radii_of(network, x, np.zeros(1, dtype=np.int64))
    assert result.status[0] == Status.UNKNOWN


def test_a_label_off_by_one_is_misclassified_everywhere():
    network = NETWORKS["lben"](6)
    x, label = samples(network, 50)
    result = radii_of(network, x, (label + 1) % 3)
    assert (result.status == Status.MISCLASSIFIED).all()
    assert (result.radius_lower == 0).all()
    assert result.natural_correct() == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("name", ["affine", "lben"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_logits_that_are_not_finite_are_errors_and_never_correct(name, value):
    blocks = NETWORKS[name](0).blocks
    network = Network([affine(1e100 * np.eye(4)), *blocks])
    x, _ = samples(network, 5)
    for label in range(3) if name == "affine" else (0,):  # class 0 is what NaN would come out as
        bad = np.vstack([x, np.full((1, 4), value)])
        result = radii_of(network, bad, np.full(6, label))
        assert result.status[-1] == Status.ERROR
        assert result.radius_lower[-1] == 0.0
        assert result.natural_correct() == int((result.predicted[:5] == label).sum())
        row = sample_rows(result)[-1]
        assert (row["status"], row["predicted"]) == ("error", None)
        assert row["residual"] is None or np.isfinite(row["residual"])


def test_certified_at_compares_with_the_rounded_up_value():
    network = Network([affine([[0.5, 0.0], [-0.5, 0.0]])])  # L̄ = 1, margin x₀
    eps = parse_eps("36/255")[0]
    x = np.array([[36 / 255, 0.0], [eps.upper, 0.0], [eps.upper * (1 + 1e-9), 0.0]])
    result = radii_of(network, x, np.zeros(3, dtype=np.int64))
    assert result.certified_at(eps).tolist() == [False, False, True]


def test_input_units_are_raw():
    # the same classifier behind a normalization by 1/4: radii shrink to a quarter
    W = np.array([[1.0, 0.0], [-1.0, 0.0]])
    plain, scaled = Network([affine(W)]), Network([normalize(2, 0.25), affine(W)])
    x = np.array([[0.8, 0.0]])
    z = (x - 0.2) / 0.25
    label = np.zeros(1, dtype=np.int64)
    own = radii_of(plain, z, label).radius_lower / radii_of(scaled, x, label).radius_lower
    assert own[0] == pytest.approx(4.0, rel=1e-9)


def test_progress_and_states_are_reported_batch_by_batch():
    network, seen = NETWORKS["lben"](0), []
    x, label = samples(network, 300)
    result = radii_of(network, x, label, on_progress=lambda i, n: seen.append((i, n)))
    assert seen == [(256, 300), (300, 300)]
    assert result.states == {}
    assert radii_of(network, x, label, keep_states=True).states[1].shape == (300, 6)


def test_data_that_does_not_fit_is_refused():
    network, x, zero = sll(), np.zeros((5, 4)), np.zeros(5, dtype=np.int64)
    for wrong in (np.zeros((5, 3)), np.zeros(4), np.zeros((5, 4, 1))):
        with pytest.raises(InputError, match="takes 4 numbers per sample"):
            radii_of(network, wrong, zero)
    for wrong in (zero[:4], np.zeros(6, dtype=np.int64), zero[:, None], zero.astype(float)):
        with pytest.raises(InputError, match="expected 5 integers"):
            radii_of(network, x, wrong)
    for wrong in (zero - 1, zero + 3):
        with pytest.raises(InputError, match="the model has 3 classes"):
            radii_of(network, x, wrong)
    with pytest.raises(InputError, match="expected float64"):
        radii_of(network, x.astype(np.float32), zero)
    with pytest.raises(InputError, match="no samples"):
        radii_of(network, x[:0], zero[:0])
    with pytest.raises(InputError, match="at least two logits"):
        radii_of(Network([affine(np.ones((1, 4)))]), x, zero)
