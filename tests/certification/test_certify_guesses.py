"""Guesses of large equilibria: rough ones first, finer ones where they are worth it."""

import numpy as np
import pytest
import torch
from conv_nets import conv_lben, network, tensor

from certlip.blocks import Affine, Network, Normalize
from certlip.certification import certify
from certlip.certification.enclosure import Encloser, Enclosure
from certlip.certification.enclosure import network as enclosure_network
from certlip.certification.enclosure.guesses import (
    EXAMPLES,
    Guesses,
    InTurn,
    Polish,
    Polished,
    examples,
)
from certlip.lmi import prove
from certlip.models import SLLClassifier
from certlip.reparam import reparametrize
from certlip.solvers import Evaluator


@pytest.fixture
def large(monkeypatch):
    """A small network that is treated as a large one."""
    monkeypatch.setattr(enclosure_network, "LARGE", 1)
    block, rng = conv_lben(0), np.random.default_rng(0)
    net = Network(
        [block, Affine(tensor(rng.standard_normal((4, block.out_width))), tensor(np.zeros(4)))]
    )
    proof = prove(net)
    x = np.random.default_rng(1).standard_normal((70, net.in_width))
    return net, proof, x, Encloser(net, proof)(x).y.argmax(axis=1)


def test_small_networks_are_solved_in_float64_at_once():
    net = network(0)
    encloser = Encloser(net, prove(net))
    assert encloser.guess is encloser.fine
    assert encloser.fine.dtype == torch.float64


def test_refined_rows_lose_next_to_nothing_and_the_others_stay(large):
    net, proof, x, _ = large
    encloser = Encloser(net, proof)
    encloser.guess = Guesses(net, torch.float32, "cpu")
    rough = encloser(x)
    wanted = np.arange(len(x)) % 40 == 3
    fine = encloser.refined(x, rough, wanted)
    assert (fine.error[wanted] < 0.1 * rough.error[wanted]).all()
    for name in ("y", "error", "residual", "norms"):
        np.testing.assert_array_equal(getattr(fine, name)[~wanted], getattr(rough, name)[~wanted])
    assert (np.linalg.norm(fine.y - rough.y, axis=1) <= fine.error + rough.error).all()
    # what is enclosed with a row does not matter, only where it stands among so many
    alone = encloser.refined(x, rough, np.arange(len(x)) == 43)
    np.testing.assert_array_equal(alone.error[43], fine.error[43])
    for k, z in alone.states.items():
        np.testing.assert_array_equal(z[43], fine.states[k][43])


def test_radii_lose_no_more_than_they_may(large):
    net, proof, x, label = large
    rough = certify(net, proof, x, label)
    exact = Encloser(net, proof)
    exact.guess = exact.fine
    error = exact(x).error
    gap = np.sort(exact(x).y, axis=1)
    naive = (gap[:, -1] - gap[:, -2]) / (np.sqrt(2.0) * proof.lip.value)
    assert (error < 1e-8).all()
    kept = rough.radius_lower > 0.0
    assert kept.sum() > 60
    # pairs may have better bounds than √2·L: never a loss
    assert np.median(1.0 - rough.radius_lower[kept] / naive[kept]) <= 1e-4


def test_rows_are_uncertain_where_the_error_decides_or_costs_much():
    y = np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 2 + [[0.5, 0.5], [1.0, np.nan]])
    error = np.array([1e-9, 1e-2, np.inf, 0.1, 0.8, 0.0, 0.0])
    found = Enclosure(y, error, {}, np.zeros(7), np.zeros((7, 1)))
    label = np.zeros(7, dtype=int)
    # far from the boundary of a wrong class nothing is gained, close to it the class may be right
    assert found.uncertain(label).tolist() == [False, True, True, False, True, True, True]


def test_a_limit_changes_no_radius_of_a_large_network(large):
    net, proof, x, label = large
    whole, part = certify(net, proof, x, label), certify(net, proof, x[:37], label[:37])
    np.testing.assert_array_equal(part.radius_lower, whole.radius_lower[:37])


def test_a_network_whose_rough_guesses_cost_too_much_gets_finer_ones(large, monkeypatch):
    net, proof, x, _ = large
    monkeypatch.setattr(enclosure_network, "LOSS", 1e-9)
    encloser = Encloser(net, proof)
    assert isinstance(encloser.guess, InTurn)
    assert encloser.guess.fine.tol is not None
    assert encloser.guess.fine.tol >= 1e-11
    rough = Encloser(net, proof)
    rough.guess = Guesses(net, torch.float32, "cpu")
    assert np.median(encloser(x).error) < 0.01 * np.median(rough(x).error)


def test_a_product_more_comes_before_finer_guesses(large, monkeypatch):
    net, proof, _, _ = large
    losses = iter([1e-3, 2e-4, 1e-5])
    monkeypatch.setattr(Enclosure, "loss", lambda found: np.full(len(found.y), next(losses)))
    guess = Encloser(net, proof).guess
    assert isinstance(guess, Polished)
    assert guess.polish(0).thorough


def test_states_are_solved_in_parts_that_depend_on_the_block_alone(large, monkeypatch):
    net, _, x, _ = large
    monkeypatch.setattr("certlip.certification.enclosure.guesses.TOGETHER", 9 * net.in_width)
    whole, part = Guesses(net, torch.float32, "cpu"), Guesses(net, torch.float32, "cpu")
    rows, calls = len(x), []
    solved = whole._solved
    monkeypatch.setattr(whole, "_solved", lambda k, *a: calls.append(len(a[0])) or solved(k, *a))
    z = whole.block(0, x)
    assert sum(calls) == rows
    assert len(calls) > 1
    step = calls[0]
    assert step & (step - 1) == 0
    np.testing.assert_array_equal(part.block(0, x[:step]), z[:step])
    np.testing.assert_array_equal(part.block(0, x[step : 2 * step]), z[step : 2 * step])


def nearly_triangular(seed=0):
    """An LBEN twin after a little noise: sweeps solve it, and tell tangents."""
    torch.manual_seed(seed)
    model = SLLClassifier(12, 4, depth=3, width=12, hidden=10)
    parts = reparametrize(model.freeze())
    (lben,) = parts.lbens
    with torch.no_grad():
        for parameter in lben.parameters():
            parameter.add_(3e-3 * torch.randn_like(parameter))
    return parts.freeze()


def test_a_step_of_newton_squares_the_residual():
    net = nearly_triangular()
    encloser = Encloser(net, prove(net))
    x = np.random.default_rng(0).uniform(size=(20, 12))
    rough = Guesses(net, torch.float32, "cpu", 1e-3)
    residuals = []
    for guess in (rough, Polished(rough)):
        encloser.guess = guess
        found = encloser(x)
        assert (np.linalg.norm(found.y - exact_logits(net, x), axis=1) <= found.error + 1e-9).all()
        residuals.append(found.residual)
    assert np.median(residuals[0]) > 1e-5
    assert np.median(residuals[1]) <= 0.01 * np.median(residuals[0])


def exact_logits(net, x):
    """To about 1e-11, by solvers of their own."""
    with torch.no_grad():
        return Evaluator(net)(torch.from_numpy(x)).numpy()


def test_a_wild_step_of_newton_costs_radius_and_no_soundness(large):
    net, proof, x, _ = large
    rng = np.random.default_rng(0)
    encloser = Encloser(net, proof)
    good = encloser(x)

    class Wild(Polished):
        def polish(self, k):
            return Polish(lambda e, J: e + rng.standard_normal(e.shape))

    encloser.guess = Wild(Guesses(net, torch.float32, "cpu"))
    bad = encloser(x)
    assert (np.linalg.norm(bad.y - good.y, axis=1) <= bad.error + good.error).all()
    assert (bad.error > 1e3 * good.error).all()


def test_solvers_learn_from_inputs_of_the_scale_that_a_network_expects():
    net = network(0)
    assert examples(net).shape == (EXAMPLES, net.in_width)
    assert 0.0 <= examples(net).min() <= examples(net).max() <= 1.0
    d = net.in_width
    mean, std = np.full(d, 100.0), np.full(d, 30.0)
    scaled = Network([Normalize(tensor(mean), tensor(std)), *net.blocks])
    assert examples(scaled).mean() == pytest.approx(100.0, abs=5.0)
    assert examples(scaled).std() == pytest.approx(30.0, abs=3.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_rows_that_are_no_points_do_not_disturb_the_others(bad, large):
    net, proof, x, _ = large
    encloser = Encloser(net, proof)
    good = encloser(x[:5])
    spoiled = x[:5].copy()
    spoiled[2, 4] = bad
    found = encloser(spoiled)
    for i in (0, 1, 3, 4):
        assert found.error[i] == good.error[i]
    assert not np.isfinite(found.error[2]) or found.error[2] > 1e100
