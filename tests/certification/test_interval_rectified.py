"""ReLU and the product behind it in one step: what each of them may lose is still there."""

from fractions import Fraction

import numpy as np
import pytest
from certify_nets import affine, exact
from hypothesis import example, given
from hypothesis import strategies as st
from interval_nets import deep, exact_interval, only

from certlip.blocks import Activation, Sigma
from certlip.blocks.activations import ReLU, Tanh
from certlip.certification.interval import IntervalBounds
from certlip.certification.interval import relu as relu_module
from certlip.certification.interval.activation import Activate
from certlip.certification.interval.affine import Linear, Matrix
from certlip.certification.interval.box import around
from certlip.certification.interval.convolution import kernel
from certlip.certification.interval.rectified import Rectified, rectified
from certlip.certification.interval.relu import relu
from certlip.linalg.rigorous.ball import Ball

sizes = st.one_of(
    st.floats(0.0, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, 5e-324, 1.5e-323, 2.0**-1000, 1.0, 1.0 + 2.0**-52, 2.0**53, 1.7e308]),
)


@given(st.lists(st.tuples(sizes, st.booleans(), sizes), min_size=1, max_size=8))
@example([(1.0, False, 1.0), (1.0, True, 1.0), (1.0, False, 1.0 + 2.0**-52)])
@example([(5e-324, False, 1e-323), (1.5e-323, True, 2e-323)])
@example([(1.7e308, False, 1.75e308), (1.75e308, False, 1.7e308)])
def test_relu_holds_every_number_of_its_box(entries):
    c = np.array([[-size if flip else size for size, flip, _ in entries]])
    r = np.array([[radius for *_, radius in entries]])
    with np.errstate(over="ignore", under="ignore"):
        found = relu(Ball(c.copy(), r.copy()))
    for c_i, r_i, mid, rad in zip(c[0], r[0], found.mid[0], found.radius()[0], strict=True):
        assert np.isfinite(mid)
        if np.isinf(rad):
            continue
        low, high = (max(Fraction(c_i) + s * Fraction(r_i), Fraction(0)) for s in (-1, 1))
        assert Fraction(mid) - Fraction(rad) <= low
        assert high <= Fraction(mid) + Fraction(rad)
        if high < Fraction(2) ** 1023:  # nothing is lost to an overflow
            spare = (high + low) / 2**50 + Fraction(2) ** -999
            assert Fraction(rad) <= (high - low) / 2 + spare


def test_without_its_share_relu_loses_what_the_sum_was_off_by(monkeypatch):
    c, r = np.full((1, 1), 1.0), np.full((1, 1), 1.0 + 2.0**-52)  # c + r is rounded down
    high = Fraction(c[0, 0]) + Fraction(r[0, 0])

    def top():
        found = relu(Ball(c.copy(), r.copy()))
        return Fraction(found.mid[0, 0]) + Fraction(found.radius()[0, 0])

    assert high <= top()
    monkeypatch.setitem(relu_module.ROUNDING, c.dtype, (0.0, 0.0))
    assert top() < high


def steps():
    rng = np.random.default_rng(0)
    matrix = Matrix(rng.standard_normal((5, 72)), rng.standard_normal(5))
    taps = kernel(rng.standard_normal((3, 2, 3, 3)), 6, 6, "zero", rng.standard_normal(3))
    assert isinstance(taps, Linear)
    return {"matrix": matrix, "convolution": taps}


@pytest.mark.parametrize("kind", ["matrix", "convolution"])
@pytest.mark.parametrize("order", ["C", "F", "apart"])
def test_one_step_gives_the_box_of_two(kind, order):
    product, sigma = steps()[kind], Activate(Sigma.of(ReLU(), 72))
    rng = np.random.default_rng(1)
    c, r = rng.standard_normal((9, 72)), rng.uniform(0.0, 1.0, (9, 72))
    c, r = (np.asarray(a, order="F" if order == "F" else "C") for a in (c, r))
    r = np.asfortranarray(r) if order == "apart" else r
    kept = Ball(c.copy(), r.copy())
    [step] = rectified([sigma, product])
    assert isinstance(step, Rectified)
    wanted, found = product(sigma(kept)), step(Ball(c, r))
    for box in (found, step.onward(Ball(c.copy("K"), r.copy("K")))):
        np.testing.assert_allclose(box.mid, wanted.mid, rtol=0, atol=1e-13)
        np.testing.assert_allclose(box.radius(), wanted.radius(), rtol=1e-13)
    np.testing.assert_array_equal(c, kept.mid)
    np.testing.assert_array_equal(r, kept.radius())


def test_only_an_exact_product_behind_relu_is_taken_together():
    product = steps()["matrix"]
    off = Matrix(Ball(np.ones((1, 72)), np.ones((1, 72))), np.zeros(1))
    tanh, sigma = Activate(Sigma.of(Tanh(), 72)), Activate(Sigma.of(ReLU(), 72))
    for pair in ([tanh, product], [sigma, off], [product, sigma], [sigma, sigma]):
        assert rectified(pair) == pair


def test_the_rounding_of_the_product_is_counted(monkeypatch):
    # all but the first of 4000 numbers are lost in the sum of the lane that has the first
    k = 4000
    product, sigma = Matrix(np.ones((1, k)), np.zeros(1)), Activate(Sigma.of(ReLU(), k))
    c = np.full((1, k), 2.0**-54)
    c[0, 0] = 1.0

    def holds():
        box = Rectified(product)(Ball(c, np.zeros_like(c)))
        true = 1 + (k - 1) * Fraction(2) ** -54
        return abs(true - Fraction(box.mid[0, 0])) <= Fraction(box.radius()[0, 0])

    assert sigma.is_relu
    assert holds()
    product.off = 0.0
    assert not holds()


@pytest.mark.parametrize("W", [1.0, 1e300, 1.7e308])
def test_what_underflows_in_relu_is_made_good_by_the_product(W):
    # half of the smallest number is 0: ReLU alone gives the box of 0 for all up to that number
    product, r = Matrix(np.array([[W]]), np.zeros(1)), np.full((1, 1), 5e-324)

    def high():
        box = Rectified(product)(Ball(np.zeros((1, 1)), r))
        return Fraction(box.mid[0, 0]) + Fraction(box.radius()[0, 0])

    assert high() >= Fraction(W) * Fraction(r[0, 0])
    product.floor = np.zeros(1)
    assert high() < Fraction(W) * Fraction(r[0, 0])


@pytest.mark.parametrize("r", [0.0, 1e-12, 0.3])
def test_boxes_and_margins_of_deep_networks_hold_exact_ones(r):
    rng = np.random.default_rng(4)
    for a in (0, 1, 2):
        blocks, x = deep(rng), rng.standard_normal((3, 4))
        net, (W, b) = only(*blocks), (blocks[-1].W.numpy(), blocks[-1].b.numpy())
        against = only(*blocks[:-1], affine(W[a] - W, b[a] - b))
        bounds, radii = IntervalBounds(net), np.full(3, r)
        assert sum(isinstance(step, Rectified) for step in bounds.body) == 2
        box = bounds(around(x, radii))
        lower = bounds.lower(bounds.start(x), radii, np.full(3, a))
        for i in range(3):
            low, high = exact_interval(net, x[i], r)
            mid, rad = exact(box.mid[i]), exact(box.radius()[i])
            assert (mid - rad <= low).all()
            assert (high <= mid + rad).all()
            worst, _ = exact_interval(against, x[i], r)
            for j in {0, 1, 2} - {a}:
                assert lower[i, j] <= worst[j] <= lower[i, j] + 1e-11


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_sum_that_overflows_downwards_is_not_taken_for_a_dead_unit():
    # −1.5 − 1.5 … + 1.7 + 1.7 … > 0 times 10³⁰⁸: a partial sum is −∞, and ReLU of that is 0
    W = np.repeat(np.array([[-1.5e200, 1.7e200]]), 32, axis=1)
    tail = affine(np.array([[1e-308], [0.0]]), np.array([-0.1, 0.0]))
    blocks = affine(W, np.zeros(1)), Activation(Sigma.of(ReLU(), 1)), tail
    x, r = np.full((1, 64), 1e108), np.full(1, 1e-3)
    assert np.isneginf((x @ W.T)[0, 0])
    _, high = exact_interval(only(*blocks), x[0], 1e-3)
    assert high[0] > 0
    bounds = IntervalBounds(only(*blocks))
    box = bounds(around(x, r))
    assert not np.isfinite(box.mid[0, 0] + box.radius()[0, 0])
    assert not bounds.lower(bounds.start(x), r, np.array([1]))[0, 0] > 0
