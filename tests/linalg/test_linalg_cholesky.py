"""Definiteness proofs against exact rational LDLᵀ: True is never wrong, and not too rare."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from exact import definite, rational
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.linalg.rigorous import is_positive_definite, negative_direction
from certlip.linalg.rigorous.ball import Ball

U = 2.0**-53
seeds = st.integers(0, 2**32 - 1)


def symmetric(A):
    return np.tril(A) + np.tril(A, -1).T


def with_smallest_eigenvalue(rng, n, smallest, spread=0.0):
    """A symmetric matrix with about that smallest eigenvalue, then scaled by 10^±spread."""
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    S = (Q * np.array([smallest, *rng.uniform(0.1, 1.0, n - 1)])) @ Q.T
    D = 10.0 ** rng.uniform(-spread, spread, n)
    return symmetric(D[:, None] * S * D)


def allowance(n, trace):
    return (n + 3) * U * trace


@settings(deadline=None, max_examples=300)
@given(seeds, st.integers(1, 6), st.floats(-17, -13), st.sampled_from([-1, 1]))
def test_an_accepted_matrix_is_definite(seed, n, exponent, sign):
    S = with_smallest_eigenvalue(np.random.default_rng(seed), n, sign * 10**exponent)
    if is_positive_definite(Ball(S)):
        assert definite(rational(S))


@settings(deadline=None, max_examples=150)
@given(seeds, st.integers(2, 6), st.sampled_from([3, 12, 100, 140]))
def test_an_accepted_matrix_of_any_scaling_is_definite(seed, n, spread):
    rng = np.random.default_rng(seed)
    S = with_smallest_eigenvalue(rng, n, rng.choice([-1e-15, -1e-17, 1e-17, 1e-15]), spread)
    if is_positive_definite(Ball(S)):
        assert definite(rational(S))


@settings(deadline=None, max_examples=150)
@given(seeds, st.integers(2, 6), st.integers(-300, 300))
def test_an_exactly_singular_matrix_is_never_accepted(seed, n, exponent):
    B = np.random.default_rng(seed).integers(-9, 10, (n, n - 1)).astype(float)
    S = np.ldexp(B @ B.T, exponent)  # integers: exact, of rank n − 1
    assert not is_positive_definite(Ball(S))


@settings(deadline=None, max_examples=100)
@given(seeds, st.integers(2, 6))
def test_the_smallest_exact_nudge_below_singular_is_rejected(seed, n):
    rng = np.random.default_rng(seed)
    B = rng.integers(-9, 10, (n, n)).astype(float)
    S = B @ B.T + np.eye(n)
    S[0, 0] -= 1.0 / float(np.linalg.inv(S)[0, 0])  # determinant of about zero, either sign
    if is_positive_definite(Ball(S)):
        assert definite(rational(S))


@settings(deadline=None, max_examples=150)
@given(seeds, st.integers(2, 40), st.sampled_from([0.0, 4.0]))
def test_a_margin_of_a_hundred_allowances_is_accepted(seed, n, spread):
    rng = np.random.default_rng(seed)
    S = with_smallest_eigenvalue(rng, n, 100 * allowance(n, n))
    D = 2.0 ** rng.integers(-spread, spread + 1, n)
    assert is_positive_definite(Ball(D[:, None] * S * D))


@pytest.mark.parametrize("spread", [12, 100])
def test_a_badly_scaled_diagonal_is_accepted(spread):
    assert is_positive_definite(Ball(np.diag(10.0 ** np.linspace(-spread, spread, 9))))
    D = 10.0 ** np.linspace(-spread, spread, 9)
    S = symmetric(D[:, None] * (np.eye(9) + 0.1) * D)
    assert is_positive_definite(Ball(S))
    assert is_positive_definite(Ball(S), slack=2.0)


@settings(deadline=None, max_examples=150)
@given(seeds, st.integers(1, 4), st.floats(-14, -1))
def test_every_member_of_an_accepted_ball_is_definite(seed, n, exponent):
    """X − |R| in the sign pattern of a vector is the worst member for it: 2ⁿ⁻¹ corners decide."""
    rng = np.random.default_rng(seed)
    S = with_smallest_eigenvalue(rng, n, 10**exponent)
    R = symmetric(np.abs(rng.normal(size=(n, n)))) * rng.choice([0.03, 0.3, 3.0]) * 10**exponent
    accepted = is_positive_definite(Ball(S, R))
    corners = [np.array(s) for s in itertools.product([1, -1], repeat=n) if s[0] == 1]
    exact_S, exact_R = rational(S), rational(R)
    all_definite = all(
        definite(
            [[exact_S[i][j] - int(s[i] * s[j]) * exact_R[i][j] for j in range(n)] for i in range(n)]
        )
        for s in corners
    )
    assert all_definite or not accepted


def test_a_radius_that_straddles_zero_is_rejected():
    assert is_positive_definite(Ball(np.eye(3), 0.3 * np.ones((3, 3))))
    assert not is_positive_definite(Ball(np.eye(3), 0.34 * np.ones((3, 3))))
    assert not is_positive_definite(Ball(np.eye(1), np.ones((1, 1))))
    assert not is_positive_definite(Ball(np.eye(2), np.diag([0.0, np.inf])))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [(0, 0), (2, 2), (2, 0), (0, 2)])
def test_non_finite_entries_are_rejected(bad, where):
    """NumPy's Cholesky completes on some of these."""
    S = np.eye(3)
    S[where] = bad
    assert not is_positive_definite(Ball(S))
    S[where[::-1]] = bad
    assert not is_positive_definite(Ball(S))
    R = np.zeros((3, 3))
    R[where] = R[where[::-1]] = abs(bad)
    assert not is_positive_definite(Ball(np.eye(3), R))


@pytest.mark.parametrize(
    "S",
    [
        [[1.0, 5.0], [0.0, 1.0]],  # one triangle looks fine
        [[1.0, 0.0], [5.0, 1.0]],
        [[-1.0, 0.0], [0.0, 1.0]],
        [[0.0, 0.0], [0.0, 1.0]],
        [[-0.0, 0.0], [0.0, 1.0]],
        [[1.0, 1.0], [1.0, 1.0]],
        [[1.0, 1e308], [1e308, 1.0]],
        [[5e-324, 0.0], [0.0, -5e-324]],
        [[0.0]],
    ],
)
def test_asymmetric_or_indefinite_matrices_are_rejected(S):
    assert not is_positive_definite(Ball(np.array(S)))


def test_an_asymmetric_or_negative_radius_is_rejected():
    assert not is_positive_definite(Ball(np.eye(2), np.array([[0.0, 0.1], [0.0, 0.0]])))
    ball = Ball(np.eye(2), np.zeros((2, 2)))
    ball.rad = -np.eye(2)  # past the check of the constructor
    assert not is_positive_definite(ball)


@pytest.mark.parametrize("scale", [2.0**-1060, 1e-300, 1e-200, 1e150, 1e307])
def test_extreme_scales_are_sound(scale):
    S = np.array([[2.0, 1.0], [1.0, 2.0]])
    indefinite = np.array([[1.0, 2.0], [2.0, 1.0]])
    assert is_positive_definite(Ball(scale * S)) or scale < 1e-290
    assert not is_positive_definite(Ball(scale * indefinite))
    singular = np.array([[1.0, 1.0], [1.0, 1.0]])
    assert not is_positive_definite(Ball(scale * singular))


def test_an_empty_matrix_is_definite():
    assert is_positive_definite(Ball(np.zeros((0, 0))))


@pytest.mark.parametrize("slack", [0.999, 0.0, -1e17, np.nan, np.inf])
def test_a_slack_below_one_is_refused(slack):
    with pytest.raises(ValueError, match="slack"):
        is_positive_definite(Ball(np.eye(2)), slack=slack)


@pytest.mark.parametrize("shape", [(2, 3), (4,), ()])
def test_what_is_not_square_is_refused(shape):
    with pytest.raises(ValueError, match="square"):
        is_positive_definite(Ball(np.ones(shape)))


@settings(deadline=None, max_examples=80)
@given(seeds, st.integers(2, 8))
def test_more_slack_accepts_less(seed, n):
    rng = np.random.default_rng(seed)
    S = with_smallest_eigenvalue(rng, n, rng.uniform(0, 4) * allowance(n, n))
    accepted = [is_positive_definite(Ball(S), slack=s) for s in (1.0, 2.0, 4.0)]
    assert accepted == sorted(accepted, reverse=True)


def test_slack_leaves_room_of_its_own_size():
    n = 20
    S = 1.5 * allowance(n, n) * np.eye(n) + (np.eye(n) - np.ones((n, n)) / n)
    S = symmetric(S)
    assert not is_positive_definite(Ball(S), slack=4.0)
    assert is_positive_definite(Ball(S + 100 * allowance(n, n) * np.eye(n)), slack=4.0)


@settings(deadline=None, max_examples=150)
@given(seeds, st.integers(1, 5), st.floats(-16, -1), st.sampled_from([-1, 1]))
def test_only_the_truly_indefinite_is_refuted(seed, n, exponent, sign):
    rng = np.random.default_rng(seed)
    S = with_smallest_eigenvalue(rng, n, sign * 10**exponent)
    R = symmetric(np.abs(rng.normal(size=(n, n)))) * rng.choice([0.0, 0.1, 1.0]) * 10**exponent
    found = negative_direction(Ball(S, R))
    if found is not None:
        x, upper = found
        exact = [Fraction(float(v)) for v in x]
        form = sum(
            exact[i] * exact[j] * Fraction(float(S[i, j]))
            + abs(exact[i] * exact[j]) * Fraction(float(R[i, j]))
            for i in range(n)
            for j in range(n)
        )
        assert form <= Fraction(upper) < 0
        assert not definite(rational(S))
    elif sign < 0 and exponent > -13 and not R.any():
        pytest.fail("a clearly indefinite matrix was not refuted")


def test_what_cannot_be_refuted_gives_none():
    assert negative_direction(Ball(np.eye(2))) is None
    assert negative_direction(Ball(np.array([[np.nan, 0.0], [0.0, 1.0]]))) is None
    assert negative_direction(Ball(np.zeros((0, 0)))) is None
    assert negative_direction(Ball(-np.eye(2), 2.0 * np.ones((2, 2)))) is None


def test_definite_and_refuted_exclude_each_other():
    rng = np.random.default_rng(0)
    for _ in range(200):
        S = with_smallest_eigenvalue(rng, 4, rng.normal() * 1e-14)
        assert not (is_positive_definite(Ball(S)) and negative_direction(Ball(S)))
