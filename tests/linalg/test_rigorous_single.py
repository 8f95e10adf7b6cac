"""Outward rounding in single precision, against rational numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certlip.linalg.rigorous.single import U, nearest, rounded_up, single_gamma

LARGEST = float(np.finfo(np.float32).max)
sizes = st.one_of(
    st.floats(0.0, allow_nan=False, allow_infinity=False),
    st.floats(0.0, 1e3),
    st.sampled_from([0.0, 5e-324, 2.0**-150, 2.0**-149, 1.0 + 2.0**-30, LARGEST, 3.5e38]),
)


@given(sizes)
@example(LARGEST * (1.0 + 2.0**-40))
def test_rounded_up_is_no_less_and_the_next_float_at_most(x):
    found = rounded_up(np.array([x]))
    assert found.dtype == np.float32
    if x > LARGEST:
        assert np.isinf(found[0])
        return
    assert Fraction(float(found[0])) >= Fraction(x)
    if x > 0.0:
        below = float(np.nextafter(found[0], np.float32(0)))
        assert Fraction(below) < Fraction(x)
    else:
        assert found[0] == 0.0


@given(sizes, st.booleans())
def test_what_the_nearest_float_is_off_by_is_bounded(x, negative):
    x = -x if negative else x
    near, off = nearest(np.array([x]))
    assert near.dtype == np.float32
    if np.isfinite(near[0]):
        assert abs(Fraction(x) - Fraction(float(near[0]))) <= Fraction(off[0])
        assert off[0] <= max(abs(x) * 2.0 * U, 2.0**-149)
    else:
        assert np.isinf(off[0])


@pytest.mark.parametrize("k", [0, 1, 7, 784, 2**20, 2**23 - 1, 2**23, 2**30])
def test_gamma_bounds_the_quotient(k):
    if k * Fraction(U) >= Fraction(1, 2):
        assert single_gamma(k) == np.inf
    else:
        exact = k * Fraction(U) / (1 - k * Fraction(U))
        assert (
            exact
            <= Fraction(single_gamma(k))
            <= exact * (1 + Fraction(1, 2**50)) + Fraction(1, 2**1000)
        )
