"""The step curve and the rounding of numbers: never in favour of the network."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlip.errors import InputError
from certlip.report.curve import StepCurve, radius, step_curve
from certlip.report.numbers import finite, lower, measured, parse_eps, percent, upper


def row(value: Any, status: str = "certified") -> dict[str, Any]:
    return {"index": 7, "status": status, "radius_lower": value}


def test_ties_count_and_what_is_just_above_does_not() -> None:
    curve = step_curve([row("0.25"), row("0.5"), row("0.5"), row("0.0", "unknown")])
    assert [curve.count(Fraction(e)) for e in ("0", "1/4", "1/2")] == [3, 3, 2]
    assert curve.count(math.nextafter(0.25, 1)) == 2
    assert curve.count(math.nextafter(0.5, 1)) == 0
    assert curve.at(Fraction(1, 2)) == 0.5


def test_a_tie_is_decided_in_rational_numbers() -> None:
    """The double nearest to 36/255 is one or the other side of it, and that is what counts."""
    double = 36 / 255
    curve = step_curve([row(repr(double))])
    assert curve.count(Fraction(36, 255)) == (Fraction(double) >= Fraction(36, 255))
    below, above = math.nextafter(double, 0), math.nextafter(double, 1)
    assert step_curve([row(repr(below))]).count(Fraction(36, 255)) == 0
    assert step_curve([row(repr(above))]).count(Fraction(36, 255)) == 1


def test_only_certified_samples_count() -> None:
    others = ("misclassified", "unknown", "falsified", "unsupported", "error")
    curve = step_curve([row("9.0", status) for status in others])
    assert curve == StepCurve((), 5)
    assert curve.at(0) == 0.0


def test_no_samples() -> None:
    curve = step_curve([])
    assert curve.at(0.1) == 0.0
    assert curve.steps(1.0) == ([0.0, 1.0], [0.0, 0.0])


def test_steps_are_the_corners() -> None:
    curve = StepCurve((0.1, 0.2, 0.2, 0.4), 5)
    assert curve.steps(1.0) == ([0.0, 0.1, 0.2, 0.4, 1.0], [0.8, 0.8, 0.6, 0.2, 0.0])
    assert curve.steps(1.0, limit=3)[0] == [0.0, 0.1, 0.2, 0.4, 1.0]
    assert curve.steps(1.0, limit=2)[0] == [0.0, 0.5, 1.0]  # even steps
    assert StepCurve((0.0, 0.5), 2).steps(1.0) == ([0.0, 0.5, 1.0], [1.0, 0.5, 0.0])


@given(
    radii=st.lists(st.floats(0, 2), max_size=30),
    eps=st.floats(0, 3),
    extra=st.integers(0, 5),
    limit=st.integers(3, 60),
)
def test_corners_describe_the_curve(radii, eps, extra, limit) -> None:
    curve = StepCurve(tuple(sorted(radii)), len(radii) + extra)
    xs, ys = curve.steps(3.0, limit)
    assert xs == sorted(xs)
    assert ys == [curve.at(x) for x in xs]
    assert len(xs) <= limit + 2
    if len(set(radii)) <= limit:  # steps-pre: the value at the next corner holds
        drawn = next(y for x, y in zip(xs, ys, strict=True) if x >= eps)
        assert drawn == sum(r >= eps for r in radii) / max(curve.n, 1)


def test_null_radius_certifies_nothing_but_the_point() -> None:
    assert radius(row(None)) == 0.0


@pytest.mark.parametrize("value", ["nan", "inf", "-0.1", "far", [], "1/2"])
def test_unusable_radius(value: Any) -> None:
    with pytest.raises(InputError, match="sample 7: radius_lower is"):
        radius(row(value))


def test_incomplete_row() -> None:
    with pytest.raises(InputError, match="sample 3: expected the fields status and radius_lower"):
        step_curve([{"index": 3}])


@pytest.mark.parametrize(
    ("eps", "value"),
    [("36/255", Fraction(36, 255)), ("0.5", Fraction(1, 2)), (1, Fraction(1)), ("0", Fraction(0))],
)
def test_eps_is_exact(eps: Any, value: Fraction) -> None:
    assert parse_eps(eps) == value


@pytest.mark.parametrize("eps", ["", "1/0", "many", "-1", math.nan, math.inf, None])
def test_unusable_eps(eps: Any) -> None:
    with pytest.raises(InputError, match=r"eps .*: expected"):
        parse_eps(eps)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.95278), "95.27 %"),
        (percent(0.29), "29.00 %"),
        (percent(2 / 3, 1), "66.6 %"),
        (percent(1), "100.00 %"),
        (percent(math.nan), "–"),
        (percent(None), "–"),
        (upper("1.0"), "1"),
        (upper("1.0000000000000002"), "1.00001"),
        (upper("123456.01"), "123457"),
        (upper(None), "–"),
        (upper(math.nan), "–"),
        (lower("0.99999"), "0.9999"),
        (lower("-1.23451"), "-1.235"),
        (lower("3.1419e-9"), "3.141e-9"),
        (lower("0.0"), "0"),
        (measured(1234.5), "1,234"),
        (measured(0.29161), "0.292"),
        (measured(math.inf), "–"),
    ],
)
def test_rounding(shown: str, expected: str) -> None:
    assert shown == expected


@given(st.floats(-1e9, 1e9))
def test_bounds_are_rounded_to_the_safe_side(value: float) -> None:
    text = repr(value)
    assert Fraction(upper(text)) >= Fraction(text) >= Fraction(lower(text))


@given(k=st.integers(0, 10_000), n=st.integers(1, 10_000))
def test_shares_are_rounded_down(k: int, n: int) -> None:
    share = min(k, n) / n
    shown = Fraction(percent(share).removesuffix(" %")) / 100
    assert shown <= Fraction(repr(share)) < shown + Fraction(1, 10_000)


@pytest.mark.parametrize("use", [upper, lower, percent, finite, measured])
def test_words_are_refused(use: Any) -> None:
    with pytest.raises(InputError, match="'fast' where a number was expected"):
        use("fast")
