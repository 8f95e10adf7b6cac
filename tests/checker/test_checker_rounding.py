"""Bounds are compared with exact rational arithmetic: bound ≥ truth, and not far above it."""

from fractions import Fraction
from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.checker.rigorous import TINY, UNIT, dot, gamma, norm, over, total
from certlip.checker.samples import SQRT2

seeds = st.integers(0, 2**32 - 1)
scales = st.sampled_from([0, -30, 30, -160, 120, -300])


def exact(values):
    return [Fraction(float(x)) for x in np.ravel(values)]


@given(st.integers(1, 10**6))
def test_gamma_is_an_upper_bound(k):
    u = Fraction(UNIT)
    assert Fraction(gamma(k)) >= k * u / (1 - k * u)
    assert gamma(k) <= k * UNIT * (1 + 1e-9)


@given(st.integers(0, 2**26 - 1), st.floats(1e-200, 1e200))
def test_over_pays_for_k_roundings(k, x):
    # (1 − u)ᵏ ≥ 1 − ku, so that 1/(1 − ku) is the largest possible truth
    assert Fraction(float(over(x, k))) >= Fraction(x) / (1 - k * Fraction(UNIT))
    assert over(x, k) <= x * (1 + (k + 7) * UNIT) + TINY


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_over_keeps_what_is_not_finite(value):
    assert not np.isfinite(over(np.array([value]), 3)).any()


@settings(deadline=None)
@given(seeds, st.integers(1, 70), scales)
def test_total_and_norm(seed, n, scale):
    x = np.random.default_rng(seed).lognormal(0, 3, n) * 10.0**scale
    assert Fraction(float(total(x))) >= sum(exact(x))
    assert Fraction(float(norm(x))) ** 2 >= sum(v * v for v in exact(x))
    assert total(x) <= fsum(x) * (1 + (2 * n + 10) * UNIT) + 2 * TINY
    alone = np.append(np.zeros(n), x[0])
    assert total(alone) == x[0]
    if -100 < scale < 100:
        assert norm(x) <= float(np.linalg.norm(x)) * (1 + (n + 40) * UNIT)


@settings(deadline=None)
@given(seeds, st.integers(1, 9), scales, st.booleans(), st.booleans())
def test_dot_radius_contains_the_exact_product(seed, k, scale, blurred, ball):
    rng = np.random.default_rng(seed)
    x, W = rng.normal(size=(2, k)) * 10.0**scale, rng.normal(size=(3, k))
    W[0] = np.round(W[0], 1) * 1e8  # cancellation
    blur = np.abs(rng.normal(size=W.shape)) * blurred * 1e-7
    radius = np.abs(rng.normal(size=(2, k))) * ball * 1e-9 * 10.0**scale
    value, error = dot(x, W, radius, blur)
    for i in range(2):
        for j in range(3):
            corner = np.sign(W[j]) * radius[i] * rng.choice([-1, 1])
            moved = [p + q for p, q in zip(exact(x[i]), exact(corner), strict=True)]
            other = [
                p + q for p, q in zip(exact(W[j]), exact(np.sign(x[i]) * blur[j]), strict=True)
            ]
            truth = sum(p * q for p, q in zip(moved, other, strict=True))
            assert abs(truth - Fraction(float(value[i, j]))) <= Fraction(float(error[i, j]))


def test_dot_is_close_to_the_a_priori_bound():
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(3, 50)), rng.normal(size=(4, 50))
    _, error = dot(x, W, np.zeros_like(x))
    optimal = 50 * UNIT * np.abs(x) @ np.abs(W).T
    assert (error <= 1.1 * optimal).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_dot_hides_nothing(bad):
    _, error = dot(np.array([[1.0, bad]]), np.ones((1, 2)), np.zeros((1, 2)))
    assert not np.isfinite(error).any()


def test_the_square_root_of_two():
    assert Fraction(SQRT2) ** 2 > 2
