"""Boxes hold all that they should: exact arithmetic, closed forms, random and attacked points."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from certify_nets import NETWORKS as DENSE
from certify_nets import affine, exact, normalize, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from interval_nets import (
    NETWORKS,
    contracting,
    conv_contracting,
    exact_interval,
    only,
    unrolled,
    violations,
)
from padded_nets import padded

from certlip.blocks import (
    Activation,
    Equilibrium,
    Sigma,
)
from certlip.blocks.activations import ReLU
from certlip.blocks.dense_form import dense_form
from certlip.certification.interval import IntervalBounds
from certlip.certification.interval.box import around, between, ends, inside
from certlip.certification.interval.perron import Perron
from certlip.errors import UnsupportedError
from certlip.linalg.rigorous.ball import Ball
from certlip.solvers import Evaluator

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", NETWORKS)
def test_no_point_of_a_ball_leaves_the_box(name, seed):
    net = NETWORKS[name](seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((6, net.in_width))
    r = np.array([0.0, 1e-12, 1e-3, 0.1, 1.0, 30.0])
    bounds = IntervalBounds(net)
    assert violations(net, bounds, x, r, rng) == 0
    low, high = ends(bounds(around(x, r)))
    assert (high - low)[0].max() < 1e-6  # of a point: next to nothing


@settings(max_examples=25)
@given(seed=seeds, scale=st.sampled_from([1e-200, 1e-3, 1.0, 1e4]), share=st.floats(0.0, 2.0))
def test_boxes_of_explicit_networks_are_those_of_rational_arithmetic(seed, scale, share):
    rng = np.random.default_rng(seed)
    net = only(
        normalize(3),
        affine(rng.standard_normal((4, 3)), rng.standard_normal(4)),
        Activation(Sigma.of(ReLU(), 4)),
        affine(scale * rng.standard_normal((2, 4)), rng.standard_normal(2)),
    )
    x, r = scale * rng.standard_normal((1, 3)), np.array([share])
    low, high = (exact(end[0]) for end in ends(IntervalBounds(net)(around(x, r))))
    wanted = exact_interval(net, x[0], r[0])
    assert (low <= wanted[0]).all()
    assert (high >= wanted[1]).all()
    size = 1 + max(abs(v) for v in (*wanted[0], *wanted[1]))
    assert max(abs(v) for v in (*(wanted[0] - low), *(high - wanted[1]))) <= Fraction(1e-12) * size


def scalar(w, b, u=1.0, g=1.0):
    """z = relu(wz + ux + b), y = gz."""
    one = [tensor([[float(v)]]) for v in (w, u, g)]
    return Equilibrium(*one, tensor([float(b)]), tensor([0.0]), Sigma.of(ReLU(), 1))


@pytest.mark.parametrize("w", [-30.0, -1.0, -0.5, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("b", [-0.3, 0.0, 1.0])
def test_closed_form_of_one_state(w, b):
    # z = (x + b)₊/(1 − w), increasing in x: its box is that of its ends, also where w pulls back
    low, high = ends(IntervalBounds(only(scalar(w, b)))(around(np.array([[0.2]]), np.array([0.6]))))
    wanted = [max(x + b, 0.0) / (1.0 - w) for x in (-0.4, 0.8)]
    assert low[0, 0] == pytest.approx(wanted[0], rel=1e-8, abs=1e-8)
    assert high[0, 0] == pytest.approx(wanted[1], rel=1e-8, abs=1e-8)
    assert low[0, 0] <= wanted[0] + 1e-14
    assert high[0, 0] >= wanted[1] * (1.0 - 1e-14)


def test_nonnegative_weights_have_exact_boxes():
    # z is increasing in x: the ends of the box are the equilibria of its corners
    block = contracting(4)
    arrays = {name: array.abs() for name, array in block.arrays().items()}
    net = only(Equilibrium(**arrays, sigma=block.sigma))
    rng = np.random.default_rng(0)
    x, r = rng.standard_normal((8, 5)), rng.uniform(0.0, 2.0, 8)
    low, high = ends(IntervalBounds(net)(around(x, r)))
    for end, sign in ((low, -1.0), (high, 1.0)):
        corner = torch.from_numpy(x + sign * r[:, None])
        np.testing.assert_allclose(end, Evaluator(net)(corner).numpy(), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_boxes_of_equilibria_are_no_wider_than_of_the_unrolled_network(seed):
    block = contracting(seed, n=20, norm=0.6)
    rng = np.random.default_rng(seed)
    x, r = rng.standard_normal((10, 5)), rng.uniform(0.0, 1.0, 10)
    low, high = ends(IntervalBounds(only(block))(around(x, r)))
    size = 1e-7 * (1.0 + np.abs(high))
    assert (high - low <= unrolled(block, x, r) + size).all()


def test_zero_padding_of_an_equilibrium_is_its_dense_form():
    torus = conv_contracting(1)
    [block] = dense_form(torus)
    net, dense = only(torus), only(block)
    x, r = np.random.default_rng(0).standard_normal((4, net.in_width)), np.full(4, 0.1)
    box, same = (IntervalBounds(each)(around(x, r)) for each in (net, dense))
    # diagonal weights that pull back are known to the dense form only
    assert (same.rad <= box.rad * (1 + 1e-7)).all()
    assert np.abs(box.mid - same.mid).max() < box.rad.max()


# --- what is refused -------------------------------------------------------------------------------


def test_an_equilibrium_that_is_not_unique_is_refused():
    # z = relu(2z − 1) maps [0, 0.4] into itself, and 1 is an equilibrium as well
    with pytest.raises(UnsupportedError, match=r"block 0 \(equilibrium\).*may not exist"):
        IntervalBounds(only(scalar(2.0, -1.0)))
    z = between(np.array([[0.0]]), np.array([[0.4]]))
    image = between(*(np.maximum(2.0 * end - 1.0, 0.0) for end in ends(z)))
    assert inside(image, z).all()  # the inclusion alone would have accepted it


@pytest.mark.parametrize("w", [1.0, 1.0 + 2.0**-52, 3.0, np.nan, np.inf])
def test_no_vector_proves_a_spectral_radius_of_one_or_more(w):
    assert Perron.of(np.array([[w]])) is None
    assert Perron.of(np.array([[0.5, 0.0], [1.0, w]])) is None


@settings(max_examples=30)
@given(seed=seeds, n=st.integers(1, 6), size=st.floats(0.01, 0.999))
def test_vectors_are_proven_in_rational_arithmetic(seed, n, size):
    S = np.abs(np.random.default_rng(seed).standard_normal((n, n)))
    S *= size / np.abs(np.linalg.eigvals(S)).max()
    perron = Perron.of(S)
    assert perron is not None
    v = exact(perron.v)
    assert (exact(S).dot(v) <= Fraction(perron.theta) * v).all()
    assert (perron.v > 0).all()
    assert perron.theta < 1.0


def test_kinds_without_bounds_are_named():
    with pytest.raises(UnsupportedError, match=r"block 1 \(equilibrium\)"):
        IntervalBounds(DENSE["mondeq"](0))
    with pytest.raises(
        UnsupportedError, match=r"block 0 \(padded-equilibrium\): no interval bounds"
    ):
        IntervalBounds(only(padded()))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308])
def test_numbers_that_are_none_prove_nothing(bad):
    for net in (only(contracting()), NETWORKS["explicit"](0), NETWORKS["images"](0)):
        bounds = IntervalBounds(net)
        x = np.zeros((2, net.in_width))
        x[0, 0] = bad
        lower = bounds.lower(bounds.start(x), np.full(2, 0.01), np.array([0, 0]))
        assert not (lower[0].min() > 0.0)
        assert np.isfinite(lower[1, 1:]).all()
        start = bounds.start(np.zeros((1, net.in_width)))
        assert not (bounds.lower(start, np.abs([bad]), np.array([0])).min() > 0.0)


def test_nan_is_in_no_box_and_no_box_is_in_nan():
    zero, nan = np.zeros((1, 2)), np.full((1, 2), np.nan)
    for inner, outer in (
        (Ball(nan, zero), Ball(zero, zero + 1.0)),
        (Ball(zero, nan), Ball(zero, zero + 1.0)),
        (Ball(zero, zero), Ball(nan, zero + 1.0)),
        (Ball(zero, zero), Ball(zero, nan)),
    ):
        assert not inside(inner, outer).any()
    assert inside(Ball(zero, zero), Ball(zero, zero)).all()
