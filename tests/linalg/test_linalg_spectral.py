"""Spectral norms: proven from above, tight, exact where that is possible, at every scale."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.linalg.rigorous import UpperBound, spectral, spectral_norm
from certlip.linalg.rigorous.ball import Ball

seeds = st.integers(0, 2**32 - 1)


def semidefinite(A):
    """Exact LDLᵀ of a rational matrix: no negative pivot, and none zero beside a nonzero row."""
    A = [list(row) for row in A]
    for k in range(len(A)):
        if A[k][k] < 0 or (A[k][k] == 0 and any(A[k][k:])):
            return False
        for i in range(k + 1, len(A)):
            factor = A[i][k] / A[k][k] if A[k][k] else Fraction(0)
            A[i] = [x - factor * y for x, y in zip(A[i], A[k], strict=True)]
    return True


def at_least_the_norm(bound, A):
    """Whether τ²I − AAᵀ ⪰ 0 in exact arithmetic."""
    rows = [[Fraction(float(x)) for x in row] for row in A]
    m = len(rows)
    square = Fraction(bound) ** 2
    gram = [[sum(x * y for x, y in zip(r, s, strict=True)) for s in rows] for r in rows]
    return semidefinite([[(i == j) * square - gram[i][j] for j in range(m)] for i in range(m)])


def matrix(rng, m, n, kind) -> np.ndarray:
    A = rng.normal(size=(m, n))
    if kind == "rank 1":
        A = np.outer(A[:, 0], A[0])
    elif kind == "orthogonal":
        A = np.linalg.qr(rng.normal(size=(max(m, n), max(m, n))))[0][:m, :n]
    elif kind == "sparse":
        A = A * (rng.random((m, n)) < 0.3)
    elif kind == "integer":
        A = np.round(3 * A)
    elif kind == "graded":
        A = A * 10.0 ** rng.uniform(-12, 0, (m, 1))
    return A


KINDS = ("dense", "rank 1", "orthogonal", "sparse", "integer", "graded")


@settings(deadline=None, max_examples=250)
@given(seeds, st.integers(1, 5), st.integers(1, 5), st.sampled_from(KINDS))
def test_the_bound_is_above_the_exact_norm(seed, m, n, kind):
    A = matrix(np.random.default_rng(seed), m, n, kind)
    bound = spectral_norm(A)
    assert isinstance(bound, UpperBound)
    assert at_least_the_norm(bound.value, A)


@settings(deadline=None, max_examples=60)
@given(seeds, st.sampled_from([-660, -500, -400, 400, 495, 660, 1010]), st.sampled_from(KINDS))
def test_the_bound_holds_and_is_tight_at_every_scale(seed, exponent, kind):
    """10^±200 and beyond: squares that would overflow or underflow."""
    A = np.ldexp(matrix(np.random.default_rng(seed), 3, 4, kind), exponent)
    bound = spectral_norm(A).value
    assert at_least_the_norm(bound, A)
    if A.any():
        assert np.ldexp(bound, -exponent) <= (1 + 1e-12) * np.linalg.norm(np.ldexp(A, -exponent), 2)


@pytest.mark.parametrize("scale", [5e-324, 2.0**-1060, 1e-310])
def test_denormal_matrices_are_bounded(scale):
    A = scale * np.array([[1.0, 2.0], [3.0, 1.0]])
    assert at_least_the_norm(spectral_norm(A).value, A)
    assert spectral_norm(A).value <= 8.0 * scale


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (20, 30), (60, 25)])
def test_the_bound_is_within_1e_12_of_the_svd(kind, shape):
    m, n = shape
    A = matrix(np.random.default_rng(7), m, n, kind)
    true = np.linalg.norm(A, 2)
    for bound in (spectral_norm(A).value, spectral_norm(A, slack=2.0).value):
        assert (1 - 1e-12) * true <= bound <= (1 + 1.01e-12) * true


def test_a_larger_matrix_is_bounded_within_1e_9():
    A = np.random.default_rng(3).normal(size=(300, 400))
    true = np.linalg.norm(A, 2)
    assert (1 - 1e-12) * true <= spectral_norm(A, slack=2.0).value <= (1 + 1e-9) * true


@pytest.mark.parametrize(
    "A",
    [
        np.eye(4),
        np.eye(3, 7),  # truncation
        np.eye(7, 3),  # zero padding
        np.eye(5)[[2, 0, 4, 1, 3]],
        -np.eye(3),
        np.diag([1.0, 0.5, 0.0]),
        np.array([[1.0]]),
    ],
)
def test_truncations_paddings_and_permutations_have_norm_exactly_one(A):
    assert spectral_norm(A).value == 1.0
    assert spectral_norm(2.0**-30 * A, slack=2.0).value == 2.0**-30


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (0, 4), (4, 0)])
def test_a_zero_or_empty_matrix_has_norm_zero(shape):
    assert spectral_norm(np.zeros(shape)).value == 0.0
    assert str(spectral_norm(-np.zeros(shape))) == "0.0"


@settings(deadline=None, max_examples=80)
@given(seeds, st.floats(-18, 1))
def test_the_bound_of_a_ball_is_above_the_norm_of_its_corners(seed, exponent):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(3, 2))
    R = np.abs(rng.normal(size=A.shape)) * 10**exponent
    bound = spectral_norm(Ball(A, R)).value
    for _ in range(5):
        signs = rng.choice([-1, 1], A.shape)
        corner = [
            [Fraction(float(a)) + int(s) * Fraction(float(r)) for a, r, s in zip(*row, strict=True)]
            for row in zip(A, R, signs, strict=True)
        ]
        gram = [[sum(x * y for x, y in zip(r, s, strict=True)) for s in corner] for r in corner]
        shifted = [
            [(i == j) * Fraction(bound) ** 2 - gram[i][j] for j in range(3)] for i in range(3)
        ]
        assert semidefinite(shifted)
    assert bound <= (np.linalg.norm(A, 2) + np.linalg.norm(R)) * (1 + 1e-12)


def test_a_ball_around_zero_is_bounded_by_its_radius():
    R = np.array([[3.0, 0.0], [0.0, 4.0]])
    assert 4.0 <= spectral_norm(Ball(np.zeros((2, 2)), R)).value <= 5.0 * (1 + 1e-12)


def test_a_tiny_midpoint_in_a_large_ball_is_bounded():
    ball = Ball(1e-200 * np.ones((2, 2)), np.ones((2, 2)))
    assert 2.0 <= spectral_norm(ball).value <= 2.0 * (1 + 1e-12)


def test_above_the_largest_gram_order_row_and_column_sums_still_bound(monkeypatch):
    A = np.random.default_rng(1).normal(size=(6, 8))
    tight = spectral_norm(A).value
    monkeypatch.setattr(spectral, "LARGEST_GRAM", 5)
    loose = spectral_norm(A).value
    assert tight < loose
    assert at_least_the_norm(loose, A)


def test_an_svd_that_fails_leaves_the_fall_back(monkeypatch):
    def fail(*_):
        raise np.linalg.LinAlgError("SVD did not converge")

    A = np.random.default_rng(1).normal(size=(4, 4))
    monkeypatch.setattr(spectral.np.linalg, "norm", fail)
    assert at_least_the_norm(spectral_norm(A).value, A)


@pytest.mark.parametrize("share", [0.5, 0.999, 0.999999, 1 - 1e-12, 1 - 1e-15])
def test_a_guess_that_is_too_small_is_not_believed(monkeypatch, share):
    A = np.random.default_rng(1).normal(size=(4, 4))
    svd = np.linalg.norm
    monkeypatch.setattr(spectral.np.linalg, "norm", lambda *a: share * svd(*a))
    assert at_least_the_norm(spectral_norm(A).value, A)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_entries_are_refused(bad):
    A = np.eye(3)
    A[1, 2] = bad
    with pytest.raises(ValueError, match="non-finite"):
        spectral_norm(A)
    with pytest.raises(ValueError, match="non-finite"):
        spectral_norm(Ball(np.eye(3), np.abs(A)))


@pytest.mark.parametrize("shape", [(3,), ()])
def test_what_is_no_matrix_is_refused(shape):
    with pytest.raises(ValueError, match="expected a matrix"):
        spectral_norm(np.ones(shape))


def test_a_norm_above_the_largest_double_is_refused():
    with pytest.raises(ValueError, match="overflows"):
        spectral_norm(np.full((4, 4), 1.7e308))
