"""Boxes in single precision hold what exact interval arithmetic says, at any scale."""

from fractions import Fraction

import numpy as np
import pytest
from certify_nets import NETWORKS as DENSE
from certify_nets import affine, exact
from hypothesis import example, given, settings
from hypothesis import strategies as st
from interval_nets import contracting, conv_contracting, deep, exact_interval, only

from certlip.blocks import Activation, Sigma
from certlip.blocks.activations import ReLU, Tanh
from certlip.certification.interval import IntervalBounds
from certlip.certification.interval import relu as relu_module
from certlip.certification.interval.affine import Linear, Matrix
from certlip.certification.interval.convolution import kernel
from certlip.certification.interval.relu import rectify
from certlip.certification.interval.single import SingleBounds
from certlip.certification.interval.single.base import InDouble, Single
from certlip.certification.interval.single.product import Product, Rectify
from certlip.certification.interval.single.start import SingleStart
from certlip.certification.interval.start import Front
from certlip.linalg.rigorous.ball import Ball

floats = st.one_of(
    st.floats(0.0, width=32, allow_nan=False, allow_infinity=False),
    st.floats(0.0, 4.0, width=32),
    st.sampled_from([0.0, 2.0**-149, 2.0**-126, 1.0, 1.0 + 2.0**-23, 2.0**24, 3.4e38]),
)


@given(st.lists(st.tuples(floats, st.booleans(), floats), min_size=1, max_size=8))
@example([(1.0, False, 1.0), (1.0, True, 1.0), (1.0, False, 1.0 + 2.0**-23)])
@example([(3.4e38, False, 3.3e38), (2.0**-149, False, 2.0**-148)])
def test_relu_holds_every_number_of_its_box(entries):
    c = np.array([[-size if flip else size for size, flip, _ in entries]], dtype=np.float32)
    r = np.array([[radius for *_, radius in entries]], dtype=np.float32)
    mid, rad = c.copy(), r.copy()
    with np.errstate(over="ignore", under="ignore"):
        rectify(mid, rad, 0.0)
    assert mid.dtype == rad.dtype == np.float32
    for c_i, r_i, m, s in zip(*map(np.ravel, (c, r, mid, rad)), strict=True):
        if np.isinf(s):
            continue
        low, high = (max(Fraction(float(c_i)) + e * Fraction(float(r_i)), 0) for e in (-1, 1))
        assert Fraction(float(m)) - Fraction(float(s)) <= low
        assert high <= Fraction(float(m)) + Fraction(float(s))


def test_without_its_share_relu_loses_what_the_sum_was_off_by(monkeypatch):
    c = np.full((1, 1), 1.0, dtype=np.float32)
    r = np.full((1, 1), 1.0 + 2.0**-23, dtype=np.float32)  # c + r is rounded down

    def top():
        mid, rad = c.copy(), r.copy()
        rectify(mid, rad, 0.0)
        return Fraction(float(mid[0, 0])) + Fraction(float(rad[0, 0]))

    high = Fraction(float(c[0, 0])) + Fraction(float(r[0, 0]))
    assert high <= top()
    monkeypatch.setitem(relu_module.ROUNDING, c.dtype, (0.0, 0.0))
    assert top() < high


@given(st.integers(0, 2**32 - 1))
def test_around_holds_a_box_of_doubles(seed):
    rng = np.random.default_rng(seed)
    mid = rng.standard_normal((3, 4)) * 10.0 ** rng.uniform(-50.0, 40.0, (3, 4))
    rad = rng.uniform(0.0, 1.0, (3, 4)) * 10.0 ** rng.uniform(-50.0, 40.0, (3, 4))
    box = Single.around(mid, rad).ball()
    for m, r, c, s in zip(*map(np.ravel, (mid, rad, box.mid, box.radius())), strict=True):
        if np.isfinite(s):
            assert abs(Fraction(m) - Fraction(c)) + Fraction(r) <= Fraction(s)


def weights(rng, scale, size=(4, 30), off=None):
    """A matrix whose numbers are no floats, some of them tiny, and a bias."""
    W = scale * rng.standard_normal(size) * 10.0 ** rng.choice([0.0, 0.0, -3.0, -30.0, -60.0], size)
    b = scale * rng.standard_normal(size[0])
    return (W, b) if off is None else (Ball(W, off * np.abs(W)), Ball(b, off * np.abs(b)))


def holds(step, W, b, box, x, relu):
    """Whether the box that comes out holds Wx + b, W and b at random within what they are off by."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        found = step(Single(box.mid.copy(), box.rad.copy())).ball()
    y = exact(W).dot(np.array([max(v, Fraction(0)) for v in x]) if relu else x) + exact(b)
    if not (np.isfinite(found.mid).all() and np.isfinite(found.radius()).all()):
        return True
    return bool((np.abs(y - exact(found.mid[0])) <= exact(found.radius()[0])).all())


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-35, 1e-6, 1.0, 1e6, 1e30]),
    off=st.sampled_from([None, 1e-16, 1e-12, 1e-3]),
    relu=st.booleans(),
)
def test_a_product_holds_every_point_of_its_box(seed, scale, off, relu):
    rng = np.random.default_rng(seed)
    W, b = weights(rng, scale, off=off)
    step = Product(Matrix(W, b))
    step = Rectify(step) if relu else step
    mid = (rng.standard_normal((1, 30)) * 10.0 ** rng.uniform(-6.0, 6.0)).astype(np.float32)
    rad = (rng.uniform(0.0, 1.0, (1, 30)) * 10.0 ** rng.uniform(-9.0, 3.0)).astype(np.float32)
    if off is not None:
        W = W.mid + rng.choice([-1.0, 1.0], W.shape) * W.radius() * 0.999
        b = b.mid + rng.choice([-1.0, 1.0], b.shape) * b.radius() * 0.999
    for _ in range(4):  # corners
        x = exact(mid[0]) + exact(rad[0]) * rng.choice([-1, 1], 30)
        assert holds(step, W, b, Single(mid, rad), x, relu)


def worst_product(k=4000):
    """A sum all but the first number of which are lost in the lane of the first."""
    c = np.full((1, k), 2.0**-25, dtype=np.float32)
    c[0, 0] = 1.0
    return np.ones((1, k)), np.zeros(1), Single(c, np.zeros_like(c))


@pytest.mark.parametrize("relu", [False, True])
def test_the_rounding_of_the_sum_is_counted(relu):
    W, b, box = worst_product()
    step = Product(Matrix(W, b))
    whole = Rectify(step) if relu else step
    assert holds(whole, W, b, box, exact(box.mid[0]), relu)
    step.share = 0.0
    assert not holds(whole, W, b, box, exact(box.mid[0]), relu)


def test_the_rounding_of_radii_is_counted():
    W, b, box = worst_product()
    box = Single(np.zeros_like(box.mid), box.mid)
    step = Product(Matrix(W, b))
    assert holds(step, W, b, box, exact(box.rad[0]), False)
    step.size_T = np.ones_like(step.size_T)
    assert not holds(step, W, b, box, exact(box.rad[0]), False)


def test_the_rounding_of_weights_is_counted():
    W, b = np.full((1, 8), 1.0 + 2.0**-25), np.zeros(1)  # the floats next to it are 1
    c = np.full((1, 8), 1.0, dtype=np.float32)
    box, step = Single(c, np.zeros_like(c)), Product(Matrix(W, b))
    assert holds(step, W, b, box, exact(c[0]), False)
    step.share = 0.0
    assert not holds(step, W, b, box, exact(c[0]), False)


def test_weights_that_are_far_off_widen_their_entry():
    # the first weight is 0 ± 1e-3: no share of |W| covers it
    W = Ball(np.array([[0.0, 1.0]]), np.array([[1e-3, 0.0]]))
    c = np.array([[5.0, 0.0]], dtype=np.float32)
    found = Product(Matrix(W, np.zeros(1)))(Single(c, np.zeros_like(c)))
    assert float(found.rad[0, 0]) >= 5e-3


def test_a_bias_that_is_no_float_is_held():
    b = np.array([1.0 + 2.0**-26])
    step = Product(Matrix(np.zeros((1, 1)), b))
    c = np.zeros((1, 1), dtype=np.float32)
    found = step(Single(c, c.copy())).ball()
    assert abs(Fraction(b[0]) - Fraction(found.mid[0, 0])) <= Fraction(found.radius()[0, 0])


def test_what_a_bias_is_off_by_is_held():
    b = Ball(np.array([1.0]), np.array([0.5]))
    c = np.zeros((1, 1), dtype=np.float32)
    found = Product(Matrix(np.zeros((1, 1)), b))(Single(c, c.copy()))
    assert 0.5 <= found.rad[0, 0] <= 0.5001


def test_underflow_is_held():
    # the weight is off by 2⁹⁴, and its share of 2⁻¹⁴⁹ is no float
    W, b = np.array([[2.0**120 * (1.0 + 2.0**-26)]]), np.zeros(1)
    c = np.full((1, 1), 2.0**-149, dtype=np.float32)
    assert holds(Product(Matrix(W, b)), W, b, Single(c, 0.0 * c), exact(c[0]), False)


def test_a_centre_that_overflowed_downwards_says_nothing():
    c, r = (np.full((1, 2), v, dtype=np.float32) for v in (-np.inf, 1.0))
    c[0, 1] = -3.0
    found = Rectify()(Single(c, r))
    assert np.isnan(found.rad[0, 0])
    assert 0.0 <= found.rad[0, 1] < 1e-20


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-30, 1e-12, 0.1, 1e6]))
def test_starts_hold_those_in_double_precision(seed, r):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-3.0, 3.0)
    start = Front([Matrix(scale * rng.standard_normal((5, 6)), rng.standard_normal(5))], 6)(
        rng.standard_normal((3, 6))
    )
    radii = r * rng.uniform(0.5, 1.0, 3)
    for (rows, wide), (same, box) in zip(
        SingleStart(start).within(radii), start.within(radii), strict=True
    ):
        assert rows == same
        found = wide.ball()
        for m, s, c, t in zip(
            *map(np.ravel, (box.mid, box.radius(), found.mid, found.radius())), strict=True
        ):
            assert abs(Fraction(m) - Fraction(c)) + Fraction(s) <= Fraction(t)


def test_convolutions_hold_what_their_matrix_gives():
    rng = np.random.default_rng(3)
    taps = kernel(rng.standard_normal((3, 2, 3, 3)), 5, 4, "zero", rng.standard_normal(3))
    assert isinstance(taps, Linear)
    step = Rectify(Product(taps))
    c = rng.standard_normal((4, 40))
    r = rng.uniform(0.0, 0.3, c.shape)
    wide = step(Single.around(c, r)).ball()
    narrow = taps(Ball(np.maximum(c + r, 0.0) / 2 + np.maximum(c - r, 0.0) / 2))
    points = np.maximum(c + r * rng.choice([-1.0, 1.0], c.shape), 0.0)
    y = taps(Ball(points)).mid
    assert (np.abs(y - wide.mid) <= wide.radius()).all()
    assert wide.mid.shape == narrow.mid.shape


@pytest.mark.parametrize("r", [0.0, 1e-9, 1e-3, 0.3, 1e4])
@pytest.mark.parametrize("scale", [2.0**-30, 1.0, 2.0**20])
def test_margins_are_below_exact_ones(r, scale):
    rng = np.random.default_rng(4)
    for a in (0, 1, 2):
        blocks, x = deep(rng, scale=scale), rng.standard_normal((3, 4))
        W, b = blocks[-1].W.numpy(), blocks[-1].b.numpy()
        against = only(*blocks[:-1], affine(W[a] - W, b[a] - b))
        bounds = SingleBounds(IntervalBounds(only(*blocks)))
        assert bounds.faster
        lower = bounds.around(x, np.full(3, a))(np.full(3, r))
        double = IntervalBounds(only(*blocks)).around(x, np.full(3, a))(np.full(3, r))
        for i in range(3):
            worst, _ = exact_interval(against, x[i], r)
            size = float(max(map(abs, worst))) + 1.0
            for j in {0, 1, 2} - {a}:
                assert lower[i, j] <= worst[j]
                assert lower[i, j] >= double[i, j] - 1e-4 * size * max(scale, 1.0) ** 4


NETWORKS = {
    "equilibrium": lambda: only(contracting(1)),
    "torus": lambda: only(conv_contracting(1), affine(np.eye(3, 24))),
    "explicit": lambda: DENSE["explicit"](1),
    "explicit relu": lambda: only(*deep(np.random.default_rng(0))),
    "tanh behind relu": lambda: only(
        *deep(np.random.default_rng(0)), Activation(Sigma.of(Tanh(), 3)), affine(np.eye(3))
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("r", [1e-3, 0.1])
def test_margins_are_a_little_below_those_in_double_precision(name, r):
    net = NETWORKS[name]()
    bounds = IntervalBounds(net)
    x = np.random.default_rng(2).standard_normal((70, net.in_width))
    a = np.random.default_rng(3).integers(0, net.classes, 70)
    radii = np.full(70, r)
    double, single = bounds.around(x, a)(radii), SingleBounds(bounds).around(x, a)(radii)
    others = np.arange(net.classes) != a[:, None]
    assert (single[others] <= double[others] + 1e-9).all()
    assert (single[others] >= double[others] - 3e-3 * (1.0 + np.abs(double[others]))).all()
    assert np.isinf(single[~others]).all()


def test_equilibria_are_guessed_in_single_precision_and_steps_without_a_form_stay():
    equilibrium = SingleBounds(IntervalBounds(NETWORKS["equilibrium"]()))
    assert equilibrium.faster
    tanh = only(affine(np.eye(3)), Activation(Sigma.of(Tanh(), 3)), affine(np.eye(3)))
    bounds = SingleBounds(IntervalBounds(tanh))
    assert not bounds.faster
    assert all(isinstance(step, InDouble) for step in bounds.body)


def test_boxes_are_overwritten_and_the_start_is_not():
    x = np.random.default_rng(1).standard_normal((70, 4))
    net = only(*deep(np.random.default_rng(0)))
    lower = SingleBounds(IntervalBounds(net)).around(x, np.zeros(70, dtype=int))
    first = lower(np.full(70, 0.1))
    lower(np.full(70, 0.7))
    assert np.array_equal(lower(np.full(70, 0.1)), first)


@pytest.mark.parametrize("make", [IntervalBounds, lambda net: SingleBounds(IntervalBounds(net))])
def test_rows_that_are_not_asked_for_are_nan(make):
    net = DENSE["explicit"](1)
    bounds = make(net)
    x = np.random.default_rng(2).standard_normal((90, net.in_width))
    a = np.zeros(90, dtype=int)
    lower = bounds.around(x, a)
    whole = lower(np.full(90, 0.1))
    some = np.full(90, 0.1)
    some[::2] = np.nan
    found = lower(some)
    assert np.isnan(found[::2]).all()
    assert np.array_equal(found[1::2], whole[1::2])
    assert np.isnan(lower(np.full(90, np.nan))).all()


def test_a_sum_that_overflows_proves_nothing():
    # 2·10³⁸ + 2·10³⁸ − 4.1·10³⁸ < 0, and the first sum is no float
    W = np.array([[2e19, 2e19, -4.1e19], [0.0, 0.0, 0.0]])
    tail = affine(np.eye(2))
    blocks = affine(np.eye(3) * 1e19), Activation(Sigma.of(ReLU(), 3)), affine(W)
    bounds = IntervalBounds(only(*blocks, Activation(Sigma.of(ReLU(), 2)), tail))
    x, a = np.ones((1, 3)), np.zeros(1, dtype=int)
    lower = SingleBounds(bounds).around(x, a)(np.full(1, 1e-3))[0, 1]
    assert not lower > 0.0
    assert np.isfinite(bounds.around(x, a)(np.full(1, 1e-3))[0, 1])
