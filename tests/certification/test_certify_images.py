"""Enclosures of blocks on images hold the exact rational output of the dense form."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from certify_nets import affine, exact, exact_output, normalize, samples
from conv_nets import conv_lben, conv_mondeq, conv_residual, convolution, network, relu, tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.blocks import (
    Activation,
    ConvEquilibrium,
    GroupSort,
    Network,
    Origin,
    Pooling,
    Resize,
    Sigma,
)
from certlip.blocks.activations import ELU, Identity, LeakyReLU, Tanh
from certlip.blocks.dense_form import dense_form, kernel_matrix
from certlip.certification import Status, certify, falsify
from certlip.certification.enclosure import Encloser, image
from certlip.certification.enclosure.by_frequency import ByFrequency
from certlip.certification.enclosure.convolution import Direct
from certlip.certification.enclosure.guesses import Guesses
from certlip.certification.enclosure.near import Near
from certlip.linalg.torus import Torus
from certlip.lmi import prove

seeds = st.integers(0, 2**32 - 1)


def exact_image_output(net, x):
    """f(x) in rational arithmetic, block by block in the dense vocabulary; sorting as it is written."""
    y = exact(x)
    for block in net.blocks:
        if isinstance(block, GroupSort):
            groups = y.reshape(-1, block.group, block.stride)
            y = -np.sort(-groups, axis=1).ravel()
        else:
            y = exact_output(Network(dense_form(block)), y)
    return y


def assert_holds(net, enclosure, x):
    for row, y, error in zip(x, enclosure.y, enclosure.error, strict=True):
        gap = exact(y) - exact_image_output(net, row)
        assert sum(g * g for g in gap) <= Fraction(float(error)) ** 2


def only(*blocks):
    return Network(blocks)


NETWORKS = {
    "circular": lambda s: only(convolution(s, 2, 2, (2, 3), 3, 4, "circular")),
    "zero": lambda s: only(convolution(s, 2, 2, (3, 2), 3, 4, "zero")),
    "residual": lambda s: only(conv_residual(s, share=0.9)),
    "residual-zero": lambda s: only(conv_residual(s, padding="zero", share=0.9)),
    "lben": lambda s: only(conv_lben(s)),
    "mondeq": lambda s: only(conv_mondeq(s)),
    "pooling": lambda _: only(Pooling(2, 3, 6, 3)),
    "resize": lambda _: only(Resize(5, 3), Resize(3, 6)),
    "sort": lambda _: only(GroupSort(12, 3, 2)),
    "every kind": lambda s: only(normalize(8), *network(s).blocks, affine(np.eye(3))),
    "every kind, zero": lambda s: network(s, "zero"),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("large", [False, True])
def test_enclosure_holds_the_exact_output(name, seed, large, monkeypatch):
    if large:  # every kernel by its spectrum
        monkeypatch.setattr("certlip.certification.enclosure.convolution.DIRECT_TAPS", 0)
    net = NETWORKS[name](seed)
    x = 10.0 ** (seed - 1) * np.random.default_rng(seed).standard_normal((2, net.in_width))
    enclosure = Encloser(net, prove(net))(x)
    assert (enclosure.error < 1e-8).all()
    if name in ("resize", "sort"):
        assert not enclosure.error.any()
    assert_holds(net, enclosure, x)


class Guess:
    """A solver that returns whatever it likes."""

    def __init__(self, answer):
        self.answer = answer

    def block(self, k, y, _start):
        return self.answer(k, y)

    def polish(self, _k):
        return None


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1.0, 1e6, None])
def test_terrible_guesses_only_widen_the_enclosure(noise):
    net = Network([conv_lben(5, height=2, width=2)])
    encloser = Encloser(net, prove(net))
    x = np.random.default_rng(1).standard_normal((2, net.in_width))
    good, solve, rng = encloser(x), encloser.guess, np.random.default_rng(2)

    def answer(k, y):
        z = solve.block(k, y)
        return np.zeros_like(z) if noise is None else z + noise * rng.standard_normal(z.shape)

    encloser.guess = Guess(answer)
    bad = encloser(x)
    assert_holds(net, bad, x)
    if noise != 0.0:
        assert (bad.error > 10 * good.error).all()
        assert (bad.residual > 10 * good.residual).all()
    assert np.isfinite(bad.error).all()


# --- convolutions ---------------------------------------------------------------------------------


@settings(max_examples=15)
@given(
    seed=seeds,
    shape=st.tuples(*[st.integers(1, 3)] * 4),
    extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    scale=st.sampled_from([1e-160, 1e-3, 1.0, 1e5]),
)
def test_products_with_kernels_are_held(seed, shape, extra, scale):
    kh, kw = shape[2:]
    H, W = kh + extra[0], kw + extra[1]
    rng = np.random.default_rng(seed)
    K = scale * rng.standard_normal(shape)
    for padding in ("circular", "zero"):
        matrix = exact(kernel_matrix(torch.from_numpy(K), Torus(H, W), padding).numpy())
        for adjoint in (False, True):
            A = matrix.T if adjoint else matrix
            maps = [Direct(K, H, W, padding, adjoint=adjoint)]
            maps += [ByFrequency(K, H, W, adjoint=adjoint)] if padding == "circular" else []
            true_x = rng.standard_normal(A.shape[1])
            x = Near((true_x + 1e-9)[None], np.array([1.01e-9 * np.sqrt(len(true_x))]))
            wanted = A.dot(exact(true_x))
            for each in maps:
                y = each(x)
                gap = exact(y.v[0]) - wanted
                assert sum(g * g for g in gap) <= Fraction(float(y.error[0])) ** 2
                y = each(Near.exact(x.v))
                gap, own = exact(y.v[0]) - A.dot(exact(x.v[0])), y.error[0]
                assert sum(g * g for g in gap) <= Fraction(float(own)) ** 2
                assert own <= 1e-12 * np.abs(K).sum() * np.linalg.norm(x.v) + 1e-148


class Off:
    """A map that is off by 1e-3 in every entry, and says so."""

    def __init__(self, true):
        self.true, self.numbers = true, true.numbers

    def __call__(self, x):
        y = self.true(x)
        return Near(y.v + 1e-3, y.error + 1.001e-3 * np.sqrt(y.v.shape[1]))


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (replace(convolution(0), padding="circular"), "K"),
        (replace(conv_residual(0, share=0.9), padding="circular"), "K"),
        (replace(conv_residual(0, share=0.9), padding="circular"), "KT"),
        *[(conv_lben(0), name) for name in ("W", "U", "G")],
    ],
)
def test_the_error_of_every_product_counts(block, name, monkeypatch):
    # those of direct convolutions are known beforehand: see test_certify_apriori
    monkeypatch.setattr("certlip.certification.enclosure.convolution.DIRECT_TAPS", 0)
    net = Network([block])
    encloser = Encloser(net, prove(net))
    x = 3.0 * np.random.default_rng(0).standard_normal((4, net.in_width))
    good = encloser(x)
    setattr(encloser.local[0], name, Off(getattr(encloser.local[0], name)))
    bad = encloser(x)
    assert_holds(net, bad, x)
    assert (bad.error > 1e3 * good.error).all()


def test_a_residual_that_only_looks_small_is_not_believed():
    # the product with W is off by 1e-3, and the guess solves the equation that is off by as much
    block = conv_lben(0)
    net, shifted = Network([block]), Network([replace(block, b_z=block.b_z + 1e-3)])
    encloser = Encloser(net, prove(net))
    encloser.local[0].W = Off(encloser.local[0].W)
    encloser.guess = Guesses(shifted, torch.float64, "cpu")
    x = 3.0 * np.random.default_rng(0).standard_normal((4, net.in_width))
    assert_holds(net, encloser(x), x)


def test_the_distance_of_a_guess_is_bounded_and_not_by_much_more():
    # z = 0.9z + x: from the guess 0 the residual is x, the distance 10x = (1 + 0.9/0.1)x
    one = tensor([[[[1.0]]]])
    origin, zero = Origin("mondeq", {"m": 0.1}), tensor([0.0])
    block = ConvEquilibrium(0.9 * one, one, one, zero, zero, Sigma.of(Identity(), 6), 2, 3, origin)
    net = Network([block])
    encloser = Encloser(net, prove(net))
    encloser.guess = Guess(lambda _k, y: np.zeros_like(y))
    x = np.random.default_rng(0).standard_normal((2, 6))
    enclosure = encloser(x)
    distance = 2.0 * 10.0 * np.linalg.norm(x, axis=1)  # twice: the slack of claims
    assert (enclosure.error >= distance * (1 - 1e-9)).all()
    assert (enclosure.error <= distance * 1.01).all()


@pytest.mark.parametrize("kind", [LeakyReLU(0.3), Tanh(), ELU(0.7)])
def test_an_activation_between_adds_its_own_error(kind):
    sigma = Sigma.of(kind, 4)
    v = np.linspace(-3.0, 3.0, 4)[None]
    near = Near(v, np.array([0.5])).activated(sigma)
    assert near.error[0] > 0.5
    for shift in (-0.25, 0.25):  # norm 0.5
        other = kind.forward(torch.from_numpy(v + shift)).numpy()
        assert np.linalg.norm(other - near.v) <= near.error[0]


def test_sums_and_products_are_held():
    rng = np.random.default_rng(0)
    a, b, d = rng.standard_normal((3, 2, 5)) * 10.0 ** rng.integers(-3, 3, (3, 2, 5))
    near_a, near_b = Near(a, np.array([1e-9, 0.0])), Near(b, np.array([0.0, 0.0]))
    shifted = a.copy()
    shifted[0, 0] += 0.9e-9
    true = (exact(shifted) + exact(b) - exact(d)) * exact(d[0])
    found = (near_a + near_b - Near.exact(d)) * d[0]
    for row, v, error in zip(true, found.v, found.error, strict=True):
        gap = exact(v) - row
        assert sum(g * g for g in gap) <= Fraction(float(error)) ** 2
    assert found.error[1] < 1e-9


def test_numbers_that_overflowed_are_off_by_anything():
    for bad in (np.nan, np.inf):
        assert Near(np.array([[1.0, bad], [1.0, 1.0]]), np.zeros(2)).error.tolist() == [np.inf, 0.0]


# --- certification ---------------------------------------------------------------------------------


def labelled(net, n, seed=0):
    return samples(net, n, seed, scale=2.0)


@pytest.mark.parametrize("padding", ["circular", "zero"])
def test_a_convolutional_network_is_certified_and_no_attack_breaks_it(padding):
    net = network(3, padding)
    proof = prove(net)
    x, label = labelled(net, 40)
    radii = certify(net, proof, x, label)
    kept = np.flatnonzero(radii.status == Status.CERTIFIED)
    assert len(kept) > 10
    found = falsify(net, proof, x[kept], label[kept], radii.radius_lower[kept], steps=10)
    assert not found.broken
    tight = falsify(net, proof, x[kept], label[kept], 1e3 * radii.radius_lower[kept], steps=10)
    assert tight.broken  # the attack can find something where nothing is certified


def test_slopes_between_nearby_points_are_never_above_the_proven_bound():
    for seed in range(5):
        net = network(seed)
        proof = prove(net)
        encloser = Encloser(net, proof)
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((50, 8))
        step = 1e-3 * rng.standard_normal((50, 8))
        a, b = encloser(x), encloser(x + step)
        gap = np.linalg.norm(a.y - b.y, axis=1) - a.error - b.error
        assert (gap <= proof.lip.value * np.linalg.norm(x + step - x, axis=1) * (1 + 1e-9)).all()


def test_a_limit_and_the_memory_per_step_change_no_certificate(monkeypatch):
    net = network(3)
    proof = prove(net)
    x, label = labelled(net, 20)
    whole, part = certify(net, proof, x, label), certify(net, proof, x[:7], label[:7])
    np.testing.assert_array_equal(whole.radius_lower[:7], part.radius_lower)
    monkeypatch.setattr(image, "WORKING", 1)
    single = certify(net, proof, x, label)
    np.testing.assert_allclose(single.radius_lower, whole.radius_lower, rtol=1e-6)
    assert (single.status == whole.status).all()


def test_steps_keep_rows_in_order():
    block = conv_lben(0)
    net = Network([block])
    x = np.random.default_rng(0).standard_normal((9, net.in_width))
    encloser = Encloser(net, prove(net))
    y = encloser(x).y
    for i in (0, 4, 8):
        np.testing.assert_allclose(encloser(x[i : i + 1]).y[0], y[i], atol=1e-12)


def test_an_overflow_that_is_left_out_later_is_still_an_error():
    huge = replace(convolution(0, 2, 1, (1, 1), 2, 2), K=tensor(np.full((2, 1, 1, 1), 1e200)))
    net = Network([Resize(4, 4), huge, GroupSort(8, 2, 4), Resize(8, 2)])
    x = np.zeros((3, 4))
    x[1, 3], x[2, 3] = 1e150, -1e150  # overflow in the last pixel of each channel, which is cut off
    with np.errstate(over="ignore", invalid="ignore"):
        radii = certify(net, prove(net), x, np.zeros(3, dtype=int))
    assert (radii.status[1:] == Status.ERROR).all()
    assert radii.status[0] != Status.ERROR


def test_a_sigma_per_channel_is_used_in_the_middle():
    sigma = Sigma(((LeakyReLU(0.1), 6), (LeakyReLU(0.0), 12)))
    block = replace(conv_residual(0, share=0.9), sigma=sigma)
    net = Network([block, Activation(relu(2, 3, 2))])
    x = np.random.default_rng(0).standard_normal((2, net.in_width))
    assert_holds(net, Encloser(net, prove(net))(x), x)
