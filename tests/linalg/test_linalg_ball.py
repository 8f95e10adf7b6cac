"""Every operation on balls holds the exact rational result, and is hardly wider than it must be."""

import itertools
import operator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.linalg.rigorous.ball import Ball, as_ball, magnitude, mirrored, norm2_of_radius
from certlip.linalg.rigorous.rounding import TINY, U, gamma

seeds = st.integers(0, 2**32 - 1)
SMALLEST = 2.0**-1074
SCALES = ("one", "mixed", "subnormal", "large", "small", "lopsided")


def numbers(rng, shape, scale):
    """Doubles of both signs, some zero, of the named size."""
    x = rng.normal(size=shape)
    if scale == "mixed":
        x = x * 10.0 ** rng.integers(-150, 150, shape)
    elif scale == "subnormal":
        x = rng.integers(-(2**50), 2**50, shape) * SMALLEST
    elif scale == "large":
        x = x * 1e150
    elif scale == "small":
        x = x * 1e-150
    elif scale == "lopsided":  # partial sums that cancel
        x = x * rng.choice([1.0, 2.0**60, 2.0**-60], shape)
    x[rng.random(shape) < 0.15] = rng.choice([0.0, -0.0])
    return x


def balls(rng, shape, scale):
    """A ball that is exact, a little uncertain or very uncertain."""
    mid = numbers(rng, shape, scale)
    kind = rng.integers(3)
    if kind == 0:
        return Ball(mid)
    rad = np.abs(numbers(rng, shape, scale)) * (1e-12 if kind == 1 else 1.0)
    return Ball(mid, rad)


def points(rng, ball, count=3):
    """Exact members of the ball: the midpoint, corners, and points between."""
    shares = [np.zeros(ball.shape, dtype=int)]
    shares += [rng.integers(-1, 2, ball.shape) * 4 for _ in range(count)]
    shares += [rng.integers(-4, 5, ball.shape)]
    mid, rad = rational(ball.mid), rational(ball.radius())
    return [mid + rad * (share.astype(object) * Fraction(1, 4)) for share in shares]


def rational(x):
    return np.vectorize(lambda v: Fraction(float(v)), otypes=[object])(x)


def holds(ball, exact):
    """Whether the exact array lies in the ball; a ball that has overflowed holds everything."""
    mid, rad = ball.mid, ball.radius()
    assert mid.shape == rad.shape == exact.shape
    assert not np.isnan(rad).any()
    for m, r, x in zip(mid.flat, rad.flat, exact.flat, strict=True):
        if np.isinf(r):
            continue
        if not np.isfinite(m) or abs(x - Fraction(float(m))) > Fraction(float(r)):
            return False
    return True


def assert_holds_everywhere(rng, operation, a, b):
    result = operation(a, b)
    for x, y in itertools.product(points(rng, a), points(rng, b)):
        assert holds(result, operation(x, y))


@settings(deadline=None, max_examples=120)
@given(seeds, st.sampled_from(SCALES), st.sampled_from(SCALES))
def test_sums_and_differences_hold_the_exact_result(seed, scale_a, scale_b):
    rng = np.random.default_rng(seed)
    a, b = balls(rng, (2, 3), scale_a), balls(rng, (2, 3), scale_b)
    assert_holds_everywhere(rng, lambda x, y: x + y, a, b)
    assert_holds_everywhere(rng, lambda x, y: x - y, a, b)


@settings(deadline=None, max_examples=120)
@given(seeds, st.sampled_from(SCALES), st.sampled_from(SCALES))
def test_entrywise_products_hold_the_exact_result(seed, scale_a, scale_b):
    rng = np.random.default_rng(seed)
    a, b = balls(rng, (2, 3), scale_a), balls(rng, (2, 3), scale_b)
    assert_holds_everywhere(rng, lambda x, y: x * y, a, b)


@settings(deadline=None, max_examples=120)
@given(seeds, st.sampled_from(SCALES), st.sampled_from(SCALES))
def test_quotients_hold_the_exact_result(seed, scale_a, scale_b):
    rng = np.random.default_rng(seed)
    a, divisor = balls(rng, (2, 3), scale_a), numbers(rng, (2, 3), scale_b)
    divisor[divisor == 0.0] = 3.0
    quotient = a / divisor
    for x in points(rng, a):
        assert holds(quotient, x / rational(divisor))


@settings(deadline=None, max_examples=200)
@given(seeds, st.integers(1, 6), st.sampled_from(SCALES), st.sampled_from(SCALES))
def test_matrix_products_hold_the_exact_result(seed, k, scale_a, scale_b):
    rng = np.random.default_rng(seed)
    a, b = balls(rng, (2, k), scale_a), balls(rng, (k, 2), scale_b)
    assert_holds_everywhere(rng, lambda x, y: x @ y, a, b)


@pytest.mark.parametrize("seed", range(20))
def test_the_rounding_of_the_radius_itself_is_covered(seed):
    """Around zero nothing else is left in the radius that could hide it."""
    rng = np.random.default_rng(seed)
    R, b = rng.random((1, 200)), rng.random((200, 1))
    corner = rational(R) @ rational(b)
    assert holds(Ball(np.zeros_like(R), R) @ b, corner)
    assert holds(b.T @ Ball(np.zeros_like(R.T), R.T), corner)
    assert holds(Ball(np.zeros_like(R), R) * b.T, rational(R) * rational(b.T))


@pytest.mark.parametrize("seed", range(20))
def test_a_denormal_factor_keeps_its_rounding_error(seed):
    """γ|a| underflows to zero while γ|a||b| is far above every underflow term."""
    rng = np.random.default_rng(seed)
    a = rng.integers(1, 2**45, (1, 3)) * SMALLEST
    b = rng.random((3, 1)) * 2.0**1000
    assert holds(Ball(a) @ Ball(b), rational(a) @ rational(b))
    assert holds(Ball(b.T) @ Ball(a.T), rational(b.T) @ rational(a.T))


def test_a_sum_that_overflows_in_between_holds_everything():
    a = np.array([[-1e308, -1e308, 1e308, 1.2e308]])
    result = Ball(a) @ Ball(np.ones((4, 1)))  # exactly 2e307, in floating point −∞ or NaN
    assert np.isfinite(result.mid).all() or np.isinf(result.radius()).all()
    assert np.isinf((Ball(np.array([1e200])) * Ball(np.array([1e200]))).radius()).all()
    assert np.isinf((Ball(np.array([1e308])) + Ball(np.array([1e308]))).radius()).all()
    assert np.isinf((Ball(np.array([1e308])) / 1e-10).radius()).all()


@settings(deadline=None, max_examples=60)
@given(seeds, st.sampled_from(SCALES))
def test_scalars_and_arrays_on_either_side_are_exact_operands(seed, scale):
    rng = np.random.default_rng(seed)
    a, b = balls(rng, (2, 2), scale), numbers(rng, (2, 2), scale)
    s, exact_b = float(b[0, 0]), rational(b)
    for x in points(rng, a):
        assert holds(b + a, exact_b + x)
        assert holds(b - a, exact_b - x)
        assert holds(s - a, Fraction(s) - x)
        assert holds(b * a, exact_b * x)
        assert holds(s * a, Fraction(s) * x)
        assert holds(b @ a, exact_b @ x)
        assert holds(-a, -x)
        assert holds(a.T[:1], x.T[:1])
        assert holds(a.reshape(1, 4), x.reshape(1, 4))


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_broadcast_operands_give_one_radius_per_entry(seed):
    rng = np.random.default_rng(seed)
    a, b = balls(rng, (3, 1), "one"), balls(rng, (1, 2), "mixed")
    x, y = points(rng, a)[-1], points(rng, b)[-1]
    assert holds(a * b, x * y)
    assert holds(a + b, x + y)


@settings(deadline=None, max_examples=60)
@given(seeds, st.sampled_from(SCALES))
def test_norm_upper_bounds_every_member(seed, scale):
    rng = np.random.default_rng(seed)
    a = balls(rng, (2, 4), scale)
    for axis in (0, 1, -1):
        upper = a.norm_upper(axis=axis)
        for x in points(rng, a):
            squares = (x * x).sum(axis=axis)
            for bound, square in zip(upper.flat, squares.flat, strict=True):
                assert np.isinf(bound) or Fraction(float(bound)) ** 2 >= square


@settings(deadline=None, max_examples=100)
@given(seeds, st.integers(1, 300))
def test_the_radius_of_a_product_is_near_its_a_priori_bound(seed, k):
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(3, k)), rng.normal(size=(k, 2))
    bound = gamma(k) * (np.abs(A) @ np.abs(B))
    assert ((Ball(A) @ Ball(B)).radius() <= 1.001 * bound + 2 * TINY).all()
    R, S = 1e-3 * np.abs(rng.normal(size=A.shape)), 1e-3 * np.abs(rng.normal(size=B.shape))
    bound = bound + R @ np.abs(B) + np.abs(A) @ S + R @ S
    assert ((Ball(A, R) @ Ball(B, S)).radius() <= 1.001 * bound + 2 * TINY).all()


@settings(deadline=None, max_examples=100)
@given(seeds)
def test_the_radii_of_entrywise_operations_are_near_their_a_priori_bounds(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 50))
    r, s = 1e-3 * np.abs(rng.normal(size=(2, 50)))
    assert ((Ball(a) + Ball(b)).radius() <= 1.001 * U * np.abs(a + b)).all()
    assert ((Ball(a) * Ball(b)).radius() <= 1.001 * U * np.abs(a * b) + 2 * TINY).all()
    assert ((Ball(a) / b).radius() <= 1.001 * U * np.abs(a / b) + 2 * TINY).all()
    assert ((Ball(a, r) + Ball(b, s)).radius() <= 1.001 * (r + s + U * np.abs(a + b))).all()
    bound = r * np.abs(b) + np.abs(a) * s + r * s + U * np.abs(a * b)
    assert ((Ball(a, r) * Ball(b, s)).radius() <= 1.001 * bound + 9 * TINY).all()


def test_products_with_an_exact_zero_are_exact():
    a, zero = Ball(np.array([3.0, -1.0])), Ball(np.array([0.0, -0.0]))
    assert (a * zero).radius().tolist() == [0.0, 0.0]
    assert (a + zero).radius().max() <= 4 * U


def test_the_magnitude_and_the_norm_of_a_radius_are_upper_bounds():
    ball = Ball(np.array([[-1.0, 0.1], [0.1, 2.0]]), np.array([[0.1, 0.3], [0.3, 0.1]]))
    for far in (ball, Ball(np.ones(2), np.array([2.0**-54, 0.1]))):
        size = magnitude(far)
        assert (rational(size) >= rational(np.abs(far.mid)) + rational(far.radius())).all()
    exact = max(rational(ball.radius()).sum(axis=1))
    assert exact <= Fraction(norm2_of_radius(ball.radius())) <= exact * (1 + Fraction(1, 10**14))
    assert norm2_of_radius(None) == 0.0


def test_mirrored_takes_the_lower_triangle_with_its_radius():
    ball = mirrored(Ball(np.array([[1.0, 9.0], [2.0, 3.0]]), np.array([[0.1, 9.0], [0.2, 0.3]])))
    assert ball.mid.tolist() == [[1.0, 2.0], [2.0, 3.0]]
    assert ball.radius().tolist() == [[0.1, 0.2], [0.2, 0.3]]


@pytest.mark.parametrize(
    ("mid", "rad", "match"),
    [
        (np.ones(2), np.ones(3), "radius of shape"),
        (np.ones((2, 2)), np.ones(2), "radius of shape"),
        (np.ones(2), np.array([1.0, -1e-300]), "expected ≥ 0"),
        (np.ones(2) * 1j, None, "exact as float64"),
        (np.array([2**53 + 1]), None, "exact as float64"),
        (np.array([1.0], dtype=np.longdouble), None, "exact as float64"),
        (np.array(["1"]), None, "exact as float64"),
    ],
)
def test_what_is_no_ball_is_refused(mid, rad, match):
    with pytest.raises(ValueError, match=match):
        Ball(mid, rad)


def test_smaller_exact_types_become_doubles():
    assert as_ball(3).mid.dtype == np.float64
    assert as_ball(np.float32(0.1)).mid == np.float64(np.float32(0.1))
    assert as_ball(np.array([2**53])).mid == 2.0**53


def test_a_ball_is_no_divisor():
    with pytest.raises(TypeError):
        operator.truediv(Ball(np.ones(2)), Ball(np.ones(2), np.ones(2)))
    with pytest.raises(TypeError):
        operator.truediv(1.0, Ball(np.ones(2)))


def test_nan_never_gets_a_finite_radius():
    nan = Ball(np.array([[np.nan]]))
    for result in (nan + 1.0, nan * 0.0, nan / 2.0, nan @ np.zeros((1, 1))):
        assert np.isnan(result.mid).all()
        assert np.isinf(result.radius()).all()
