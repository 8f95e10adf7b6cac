"""Outward rounding and the types of proven numbers, against exact rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.linalg.rigorous.bounds import ONE, SQRT2, LowerBound, UpperBound, product
from certlip.linalg.rigorous.rounding import down, gamma, norm_up, sum_up, up

nonnegative = st.floats(0.0, 1e300) | st.floats(0.0, 1e-300) | st.floats(0.0, 10.0)
entries = st.floats(-1e150, 1e150) | st.floats(-1e-160, 1e-160) | st.floats(-2.0, 2.0)
factors = st.floats(0.0, 1e150) | st.floats(0.0, 1e-150) | st.floats(0.0, 4.0)


@given(st.lists(nonnegative, min_size=1, max_size=40))
def test_sum_up_is_above_the_exact_sum_and_close(values):
    exact = sum(map(Fraction, values))
    bound = Fraction(float(sum_up(np.array(values))))
    assert exact <= bound
    # a nonzero sum is raised by 2⁻¹⁰⁰⁰ as well, which stands for every underflow
    assert bound <= exact * (1 + Fraction(8 * (len(values) + 4), 2**53)) + Fraction(2, 2**1000)


@pytest.mark.parametrize("k", [1, 7, 1000, 100_000])
def test_sum_up_covers_long_sums_that_round_down(k):
    values = np.full(k, 1.0 + 2.0**-52)
    values[0] = 2.0**20
    exact = Fraction(2) ** 20 + (k - 1) * (1 + Fraction(1, 2**52))
    assert Fraction(float(sum_up(values))) >= exact
    assert Fraction(float(sum_up(np.stack([values, values]), axis=1)[1])) >= exact


@pytest.mark.parametrize("k", [10, 1000])
def test_sum_up_covers_a_sum_from_first_to_last(k):
    """Along the first axis the rows are added one by one, and each one is lost in the first."""
    values = np.ones((k, 2))
    values[0] = 2.0**53
    assert np.sum(values, axis=0)[0] == 2.0**53
    assert Fraction(float(sum_up(values, axis=0)[0])) >= 2**53 + k - 1


@settings(max_examples=300)
@given(st.lists(entries, min_size=1, max_size=20))
def test_norm_up_is_above_the_exact_norm_and_close(values):
    square = sum(Fraction(v) ** 2 for v in values)
    bound = Fraction(float(norm_up(np.array(values))))
    assert bound**2 >= square
    # a square below 2⁻¹⁰⁰⁰ counts as a few: that much and no more
    slack = 1 + Fraction(8 * (len(values) + 8), 2**53)
    assert bound**2 <= slack**2 * (square + (len(values) + 1) * Fraction(4, 2**1000))


@given(st.lists(st.lists(entries, min_size=3, max_size=3), min_size=1, max_size=6))
def test_norm_up_of_rows_and_of_columns_is_that_of_each(values):
    x = np.array(values)
    for axis, each in ((1, x), (-1, x), (0, x.T)):
        found = norm_up(x, axis=axis)
        assert found.shape == (len(each),)
        for bound, row in zip(found, each, strict=True):
            assert Fraction(float(bound)) ** 2 >= sum(Fraction(float(v)) ** 2 for v in row)
    assert norm_up(x[None].repeat(2, axis=0), axis=1).shape == (2, 3)


@pytest.mark.parametrize("axis", [0, 1])
def test_norm_up_covers_long_sums_that_round_down(axis):
    """All but the first number are lost in the lane that has it."""
    k = 100_000
    x = np.full((1, k), 2.0**-27)
    x[0, 0] = 1.0
    bound = norm_up(x if axis else np.ascontiguousarray(x.T), axis=axis)[0]
    assert Fraction(float(bound)) ** 2 >= 1 + (k - 1) * Fraction(1, 2**54)


def test_norm_up_beats_what_one_nextafter_would_miss():
    rng = np.random.default_rng(0)
    for _ in range(300):
        x = rng.normal(size=200)
        assert Fraction(float(norm_up(x))) ** 2 >= sum(Fraction(float(v)) ** 2 for v in x)


def test_norm_up_along_an_axis():
    x = np.array([[3.0, 4.0], [0.0, 12.0]])
    np.testing.assert_allclose(norm_up(x), [5.0, 12.0], rtol=1e-14)
    np.testing.assert_allclose(norm_up(x, axis=0), [3.0, 160**0.5], rtol=1e-14)


def test_overflow_and_nan_stay_visible():
    assert norm_up(np.array([1e200, 1.0])) == math.inf
    assert sum_up(np.array([1.7e308, 1.7e308])) == math.inf
    assert np.isnan(norm_up(np.array([np.nan, 1.0])))
    assert np.isnan(sum_up(np.array([np.nan, 1.0])))
    assert np.isnan(up(np.nan))


@given(st.floats(0.0, 1e307))
def test_up_moves_by_at_least_one_double_and_at_most_six_units(x):
    if x == 0.0:
        assert up(x) == 0.0
        return
    assert up(x) >= math.nextafter(x, math.inf)
    assert Fraction(float(up(x))) <= Fraction(x) * (1 + Fraction(6, 2**53)) + Fraction(2, 2**1000)


def test_down_moves_by_one_double():
    assert down(0.0) == -5e-324
    assert down(-1.0) == math.nextafter(-1.0, -2.0)
    assert down(1.0) == math.nextafter(1.0, 0.0)


@given(st.integers(0, 2**40 - 1))
def test_gamma_is_above_the_exact_value_and_close(k):
    exact = Fraction(k, 2**53) / (1 - Fraction(k, 2**53))
    bound = Fraction(gamma(k))
    assert exact <= bound <= exact * (1 + Fraction(1, 2**50)) + Fraction(1, 2**1074)


@pytest.mark.parametrize("k", [-1, 2**40])
def test_gamma_refuses_other_lengths(k):
    with pytest.raises(ValueError, match="expected a length"):
        gamma(k)


@given(factors, factors)
def test_a_product_of_bounds_is_the_exact_product_rounded_up(a, b):
    exact = Fraction(a) * Fraction(b)
    value = (UpperBound(a) * UpperBound(b)).value
    assert Fraction(value) >= exact
    assert Fraction(math.nextafter(value, 0.0)) < exact or Fraction(value) == exact


@given(st.lists(st.floats(1e-3, 1e3), max_size=8))
def test_the_product_of_many_bounds(values):
    bounds = [UpperBound(v) for v in values]
    exact = math.prod(map(Fraction, values))
    bound = Fraction(product(bounds).value)
    assert exact <= bound <= exact * (1 + Fraction(2, 2**53)) ** len(values)


def test_a_product_that_underflows_is_not_zero():
    assert (UpperBound(1e-200) * UpperBound(1e-200)).value == 5e-324
    assert (UpperBound(0.0) * UpperBound(3.0)).value == 0.0


@pytest.mark.parametrize("value", [1e200, 1.7e308])
def test_a_product_that_overflows_raises(value):
    with pytest.raises(ValueError, match="overflows"):
        _ = UpperBound(value) * UpperBound(value)


@pytest.mark.parametrize("kind", [UpperBound, LowerBound])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e-300, 1, True, "1.0", None])
def test_bounds_refuse_what_is_no_finite_nonnegative_float(kind, value):
    with pytest.raises(ValueError, match="finite float ≥ 0"):
        kind(value)


@pytest.mark.parametrize("kind", [UpperBound, LowerBound])
@pytest.mark.parametrize("value", [0.0, -0.0, 0.1, 5e-324, 1.7e308, np.float64(1 / 3)])
def test_a_bound_reads_back_to_the_same_double(kind, value):
    text = str(kind(value))
    assert float(text) == value
    assert not text.startswith("-")
    assert type(kind(value).value) is float


@pytest.mark.parametrize("other", [LowerBound(1.0), 3.0])
def test_only_an_upper_bound_is_a_factor_of_an_upper_bound(other):
    with pytest.raises(TypeError):
        _ = UpperBound(2.0) * other


def test_bounds_do_not_change():
    with pytest.raises(AttributeError):
        UpperBound(1.0).value = 0.5  # pyright: ignore


def test_the_constants():
    assert Fraction(SQRT2.value) ** 2 >= 2
    assert SQRT2.value <= 2**0.5 * (1 + 4e-16)
    assert ONE.value == 1.0
