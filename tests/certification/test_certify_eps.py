"""ε: what may be written, and that it is rounded up."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlip.certification import parse_eps
from certlip.checker.reading import number
from certlip.errors import InputError


@pytest.mark.parametrize(
    "text",
    ["36/255", "72/255", "108/255", "1", "0.1", "0.3", "1e-3", "1/3", "2.5E+2", "0007", "1e-320"],
)
def test_double_is_the_smallest_one_at_or_above_the_exact_value(text):
    (eps,) = parse_eps(text)
    assert eps.text == text
    assert Fraction(eps.upper) >= Fraction(text)
    assert Fraction(float(np.nextafter(eps.upper, 0.0))) < Fraction(text)


def test_nearest_double_would_be_too_small():
    assert Fraction(36 / 255) < Fraction(36, 255)
    assert parse_eps("36/255")[0].upper == np.nextafter(36 / 255, 1.0)


@given(top=st.integers(1, 10**9), bottom=st.integers(1, 10**9))
def test_quotients_are_rounded_up(top, bottom):
    upper = parse_eps(f"{top}/{bottom}")[0].upper
    assert Fraction(float(np.nextafter(upper, 0))) < Fraction(top, bottom) <= Fraction(upper)


def test_several_values_keep_their_order():
    assert [e.text for e in parse_eps("1, 36/255,0.1")] == ["1", "36/255", "0.1"]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0",
            "0.0",
            "0/5",
            "-1",
            "+1",
            "nan",
            "inf",
            "1/0",
            "0/0",
            "",
            " ",
            "36/",
            "/255",
            "1,,2",
        ),
        *(
            "36/255,36/255",
            "1,2,1",
            "1/2/3",
            "1e400",
            "1e-400",
            "0x1",
            "1_0",
            "1 2",
            "½",
            "３",
            "5%",
        ),
        *("1.5/2", ".5", "1.", "1e", "1\n2", "9" * 5000),
    ],
)
def test_whatever_is_not_a_positive_number_is_refused(text):
    with pytest.raises(InputError, match="--eps"):
        parse_eps(text)


@given(st.text("0123456789./eE+-", max_size=8))
def test_the_checker_reads_every_value_that_is_accepted(text):
    try:
        (eps,) = parse_eps(text)
    except InputError:
        return
    assert Fraction(eps.upper) >= number(eps.text, Fraction) > 0
