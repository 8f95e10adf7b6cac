"""cos and sin of rational turns against 60-digit decimal arithmetic with π as printed in tables."""

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlip.linalg.rigorous.roots import roots_of_unity

PI = "3.14159265358979323846264338327950288419716939937510582097494459"


def cos_sin(k, n):
    """By the Taylor series of exp(i·2πk/n), without any reduction of the angle."""
    with localcontext() as context:
        context.prec = 60
        angle = 2 * Decimal(PI) * k / n
        term, parts = Decimal(1), [Decimal(0)] * 4
        for m in range(120):
            parts[m % 4] += term
            term *= angle / (m + 1)
        return Fraction(parts[0] - parts[2]), Fraction(parts[1] - parts[3])


def assert_held(n, k):
    for ball, true in zip(roots_of_unity(n), cos_sin(k, n), strict=True):
        assert abs(Fraction(float(ball.mid[k])) - true) <= Fraction(float(ball.rad[k])) + Fraction(
            1, 10**50
        )


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 12, 31, 32])
def test_every_root_is_held(n):
    for k in range(n):
        assert_held(n, k)


@given(n=st.integers(1, 2000), data=st.data())
def test_any_root_is_held(n, data):
    assert_held(n, data.draw(st.integers(0, n - 1)))


@pytest.mark.parametrize("n", [4, 28, 32, 100])
def test_multiples_of_a_quarter_turn_are_exact(n):
    cos, sin = roots_of_unity(n)
    quarters = np.arange(4) * n // 4
    assert cos.mid[quarters].tolist() == [1.0, 0.0, -1.0, 0.0]
    assert sin.mid[quarters].tolist() == [0.0, 1.0, 0.0, -1.0]
    assert not cos.rad[quarters].any()
    assert not sin.rad[quarters].any()


@pytest.mark.parametrize("n", [3, 32, 224])
def test_the_radius_is_one_rounding(n):
    for ball in roots_of_unity(n):
        assert (ball.rad <= 2.0**-53 * (1 + 1e-9)).all()
        others = np.abs(ball.mid) % 1.0 != 0.0
        assert (ball.rad[others] > 0.0).all()


@pytest.mark.parametrize("n", [0, -3])
def test_no_roots_of_order_below_one(n):
    with pytest.raises(ValueError, match="expected at least 1"):
        roots_of_unity(n)
