"""Weights that are off by a rounding of their own count as exact, with a larger γ."""

from fractions import Fraction

import numpy as np
import pytest
from certify_nets import exact
from hypothesis import given
from hypothesis import strategies as st

from certlip.certification.interval import affine as affine_module
from certlip.certification.interval.affine import Matrix
from certlip.certification.interval.box import around
from certlip.linalg.rigorous.ball import Ball

U = 2.0**-53
TRIES = 3000


def off_by(W, share):
    return Ball(W, share * np.abs(W))


@pytest.mark.parametrize("share", [0.0, U, 1e-9])
def test_only_a_share_like_that_of_a_rounding_counts_as_none(share):
    step = Matrix(off_by(np.array([[1.0, -3.0, 0.0]]), share), np.zeros(1))
    assert (step.rad_T is None) == (share <= U)


def test_what_has_no_share_does_not_count_as_exact():
    for W, rad in ((0.0, U), (1.0, np.nan), (1.0, np.inf), (np.nan, 0.0), (1.7e308, 5e-324)):
        step = Matrix(Ball(np.array([[W, 1.0]]), np.array([[rad, 0.0]])), np.zeros(1))
        exactly = rad == 5e-324  # a share below every number is one
        assert (step.rad_T is None) == (exactly or rad == 0.0)
        assert not exactly or step.off > affine_module.gamma(3)


def test_one_weight_that_is_off_is_enough():
    rad = np.zeros((1, 1000))
    rad[0, 7] = 1e-11
    step = Matrix(Ball(np.ones((1, 1000)), rad), np.zeros(1))
    assert step.rad_T is not None
    x = np.zeros((1, 1000))
    x[0, 7] = 1.0
    assert step(around(x, np.zeros(1))).radius()[0, 0] >= 1e-11


def test_what_a_bias_is_off_by_is_held():
    step = Matrix(np.ones((2, 1)), Ball(np.array([1.0, 2.0]), np.array([0.5, 0.0])))
    for box in (step(Ball(np.zeros((1, 1)))), step(around(np.zeros((1, 1)), np.zeros(1)))):
        assert 0.5 <= box.radius()[0, 0] <= 0.5001
        assert box.radius()[0, 1] <= 1e-14


def test_the_rounding_of_radii_is_counted():
    # all but the first of 4000 numbers are lost in the sum of the lane that has the first
    k = 4000
    r = np.full((1, k), 2.0**-54)
    r[0, 0] = 1.0
    step, true = Matrix(np.ones((1, k)), np.zeros(1)), 1 + (k - 1) * Fraction(2) ** -54

    def held():
        found = step(Ball(np.zeros((1, k)), r.copy()))
        return Fraction(found.radius()[0, 0]) >= true

    assert held()
    step.size_T = np.ones((k, 1))
    assert not held()


def missed(draws):
    """How often W′x + b of a W′ in the ball is outside of the box of a point."""
    count = 0
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        w, x, b = rng.uniform(1.0, 2.0, 3)
        r = float(np.nextafter(2.0 * U * w, 0.0))
        box = Matrix(Ball(np.array([[w]]), np.array([[r]])), np.array([b]))(
            around(np.array([[x]]), np.zeros(1))
        )
        for sign in (-1, 1):
            y = (Fraction(w) + sign * Fraction(r)) * Fraction(x) + Fraction(b)
            count += abs(y - Fraction(box.mid[0, 0])) > Fraction(box.radius()[0, 0])
    return count


def test_a_share_is_counted(monkeypatch):
    assert missed(TRIES) == 0
    right = affine_module._share
    monkeypatch.setattr(affine_module, "_share", lambda W: 0.0 * right(W))
    assert missed(TRIES) > 0


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-160, 1e-6, 1.0, 1e150]))
def test_every_matrix_of_the_ball_is_held(seed, scale):
    rng = np.random.default_rng(seed)
    W = scale * rng.standard_normal((3, 8)) * 10.0 ** rng.choice([0.0, -3.0, -150.0], (3, 8))
    b = rng.standard_normal(3)
    rad = rng.uniform(0.0, 1.0, W.shape) * U * np.abs(W)
    step = Matrix(Ball(W, rad), b)
    assert step.rad_T is None
    x, r = rng.standard_normal((1, 8)), 10.0 ** rng.uniform(-18.0, 1.0, 1)
    box = step(around(x, r))
    for _ in range(4):
        true = exact(W) + exact(rad) * rng.choice([-1, 1], W.shape)
        y = true.dot(exact(x[0]) + Fraction(r[0]) * rng.choice([-1, 1], 8)) + exact(b)
        assert (abs(y - exact(box.mid[0])) <= exact(box.radius()[0])).all()
