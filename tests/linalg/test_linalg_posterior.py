"""Definiteness without a trusted Cholesky, dense and block-tridiagonal, against exact rational LDLᵀ."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from exact import definite, rational
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.linalg.rigorous import block_tridiagonal, posterior
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.block_tridiagonal import (
    BlockTridiagonal,
    is_block_tridiagonal_definite,
)
from certlip.linalg.rigorous.posterior import are_positive_definite

U = 2.0**-53
seeds = st.integers(0, 2**32 - 1)
widths_of = st.lists(st.integers(1, 3), min_size=1, max_size=4)


def symmetric(A):
    return np.tril(A) + np.tril(A, -1).T


def dense(S, widths):
    """The matrix of blocks, their midpoints."""
    at = np.concatenate([[0], np.cumsum(widths)])
    A = np.zeros((at[-1], at[-1]))
    for k, D in enumerate(S.D):
        A[at[k] : at[k + 1], at[k] : at[k + 1]] = D.mid
    for k, C in enumerate(S.C):
        A[at[k + 1] : at[k + 2], at[k] : at[k + 1]] = C.mid
        A[at[k] : at[k + 1], at[k + 1] : at[k + 2]] = C.mid.T
    return A


def blocks_of(A, widths, R=None):
    """The blocks of a block-tridiagonal matrix, with a radius."""
    at = np.concatenate([[0], np.cumsum(widths)])
    cut = [slice(at[k], at[k + 1]) for k in range(len(widths))]

    def ball(i, j):
        return Ball(A[i, j], None if R is None else R[i, j])

    return BlockTridiagonal(
        [ball(c, c) for c in cut],
        [ball(j, i) for i, j in itertools.pairwise(cut)],
    )


def near_singular(rng, widths, smallest, spread=0.0):
    """A block-tridiagonal matrix with about that smallest eigenvalue, then scaled by 10^±spread."""
    n = sum(widths)
    A = rng.normal(size=(n, n))
    mask = dense(blocks_of(np.ones((n, n)), widths), widths) > 0
    A = symmetric(np.where(mask, A + A.T, 0.0))
    A = A + (smallest - np.linalg.eigvalsh(A)[0]) * np.eye(n)
    D = 10.0 ** rng.uniform(-spread, spread, n)
    return symmetric(D[:, None] * A * D)


def accepted(A, widths, slack=1.0):
    """What both proofs say of the same matrix."""
    banded = is_block_tridiagonal_definite(blocks_of(A, widths), slack=slack)
    return banded, bool(are_positive_definite(torch.tensor(A), slack=slack))


@settings(deadline=None, max_examples=300)
@given(
    seeds, widths_of, st.floats(-18, -11), st.sampled_from([-1, 1]), st.sampled_from([0, 3, 100])
)
def test_an_accepted_matrix_is_definite(seed, widths, exponent, sign, spread):
    A = near_singular(np.random.default_rng(seed), widths, sign * 10.0**exponent, spread)
    if any(accepted(A, widths)):
        assert definite(rational(A))


@settings(deadline=None, max_examples=150)
@given(seeds, widths_of, st.integers(-300, 300))
def test_an_exactly_singular_matrix_is_never_accepted(seed, widths, exponent):
    """LLᵀ of integers with one zero column: banded, exact, singular."""
    rng = np.random.default_rng(seed)
    n = sum(widths)
    L = np.tril(rng.integers(-9, 10, (n, n))).astype(float)
    L = np.tril(dense(blocks_of(L, widths), widths))
    L[:, rng.integers(n)] = 0.0
    assert not any(accepted(np.ldexp(L @ L.T, exponent), widths))


@settings(deadline=None, max_examples=100)
@given(seeds, widths_of, st.sampled_from([0, 4, 60]))
def test_a_clear_margin_is_accepted_at_any_scale(seed, widths, spread):
    A = near_singular(np.random.default_rng(seed), widths, 1e-9, 0.0)
    D = 2.0 ** np.random.default_rng(seed).integers(-spread, spread + 1, len(A))
    assert all(accepted(D[:, None] * A * D, widths))
    assert all(accepted(D[:, None] * A * D, widths, slack=2.0))


@settings(deadline=None, max_examples=100)
@given(seeds, widths_of, st.floats(-6, -1), st.sampled_from([0.03, 0.3, 3.0]))
def test_every_member_of_an_accepted_ball_is_definite(seed, widths, exponent, share):
    """X − |R| in the sign pattern of a vector is the worst member for it."""
    rng = np.random.default_rng(seed)
    A = near_singular(rng, widths, 10.0**exponent)
    R = share * 10.0**exponent * symmetric(rng.uniform(size=A.shape)) * (A != 0)
    found = (
        is_block_tridiagonal_definite(blocks_of(A, widths, R)),
        bool(are_positive_definite(torch.tensor(A), torch.tensor(R))),
    )
    if any(found):
        for signs in rng.choice([-1.0, 1.0], (20, len(A))):
            assert np.linalg.eigvalsh(A - R * np.outer(signs, signs))[0] > 0.0


def test_a_radius_decides():
    R = np.array([[0.0, 0.6], [0.6, 0.0]])
    for share, holds in ((1.0, True), (2.0, False)):
        ball = blocks_of(np.eye(2), [1, 1], share * R)
        assert is_block_tridiagonal_definite(ball) is holds
        assert bool(are_positive_definite(torch.eye(2).double(), torch.tensor(share * R))) is holds
    assert not is_block_tridiagonal_definite(blocks_of(np.eye(2), [1, 1], R), slack=2.0)
    assert not are_positive_definite(torch.eye(2).double(), torch.tensor(R), slack=2.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [(0, 0), (3, 3), (1, 0), (3, 2), (2, 1)])
def test_non_finite_entries_are_rejected_and_spoil_nothing_else(bad, where):
    A = np.eye(4)
    A[where] = A[where[::-1]] = bad
    assert accepted(A, [2, 2]) == (False, False)
    batch = torch.stack([torch.eye(4).double(), torch.tensor(A), torch.eye(4).double()])
    assert are_positive_definite(batch).tolist() == [True, False, True]
    R = np.zeros((4, 4))
    R[where] = R[where[::-1]] = abs(bad)
    assert not is_block_tridiagonal_definite(blocks_of(np.eye(4), [2, 2], R))
    assert not are_positive_definite(torch.eye(4).double(), torch.tensor(R))


@pytest.mark.parametrize(
    "A",
    [
        [[1.0, 5.0], [0.0, 1.0]],
        [[1.0, 0.0], [5.0, 1.0]],
        [[-1.0, 0.0], [0.0, 1.0]],
        [[0.0, 0.0], [0.0, 1.0]],
        [[1.0, 1.0], [1.0, 1.0]],
        [[1.0, 1e308], [1e308, 1.0]],
        [[5e-324, 0.0], [0.0, -5e-324]],
    ],
)
def test_asymmetric_or_indefinite_matrices_are_rejected(A):
    A = np.array(A)
    assert not is_block_tridiagonal_definite(BlockTridiagonal([Ball(A)], []))
    assert not are_positive_definite(torch.tensor(A))


def test_asymmetric_or_negative_radii_are_rejected():
    for R in ([[0.0, 0.1], [0.0, 0.0]], [[-0.1, 0.0], [0.0, 0.0]]):
        assert not are_positive_definite(torch.eye(2).double(), torch.tensor(R).double())
    ball = Ball(np.eye(2), np.array([[0.0, 0.1], [0.0, 0.0]]))
    assert not is_block_tridiagonal_definite(BlockTridiagonal([ball], []))


def test_a_wrong_factor_proves_nothing(monkeypatch):
    """Neither proof believes LAPACK: a finite factor of another matrix is found out."""
    A = np.array([[1.0, 2.0], [2.0, 1.0]])

    def fake(S, *_):
        return np.eye(len(S))

    monkeypatch.setattr(block_tridiagonal.np.linalg, "cholesky", fake)
    assert not is_block_tridiagonal_definite(blocks_of(A, [2]))
    assert not is_block_tridiagonal_definite(blocks_of(A, [1, 1]))
    monkeypatch.setattr(
        posterior.torch.linalg, "cholesky_ex", lambda S: (torch.eye(2).double(), torch.tensor(0))
    )
    assert not are_positive_definite(torch.tensor(A))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_nan_in_one_block_of_a_factor_is_found_wherever_it_is(monkeypatch, at):
    true, calls = np.linalg.cholesky, []

    def broken(S):
        calls.append(0)
        return true(S) if (len(calls) - 1) % 3 != at else np.full_like(S, np.nan)

    monkeypatch.setattr(block_tridiagonal.np.linalg, "cholesky", broken)
    S = BlockTridiagonal([Ball(np.eye(2))] * 3, [Ball(np.zeros((2, 2)))] * 2)
    monkeypatch.setattr(block_tridiagonal, "solve_triangular", lambda L, B, lower: 0.0 * B)
    assert not is_block_tridiagonal_definite(S)


@settings(deadline=None, max_examples=100)
@given(seeds, widths_of)
def test_the_error_norm_is_above_the_exact_error_of_any_factor(seed, widths):
    """Row sums of |S − τI − L̂L̂ᵀ| + R in rational arithmetic, for factors right, rounded and wrong."""
    rng = np.random.default_rng(seed)
    n, tau = sum(widths), 2.0**-20
    L = np.tril(dense(blocks_of(np.tril(rng.normal(size=(n, n))), widths), widths))
    A = symmetric(L @ L.T + tau * np.eye(n))  # rounded: the computed residual is about zero
    R = symmetric(rng.uniform(size=(n, n))) * (dense(blocks_of(A, widths), widths) != 0)
    wrong = L + np.where(L == 0.0, 0.0, rng.normal(size=(n, n)) * rng.choice([0.0, 1.0], (n, n)))
    for factor, share in itertools.product((L, wrong), (0.0, 1.0)):
        F, A_q = rational(factor), rational(A)
        exact = max(
            sum(
                abs(
                    A_q[i][j]
                    - Fraction(tau) * (i == j)
                    - sum(x * y for x, y in zip(F[i], F[j], strict=True))
                )
                + Fraction(float(share * R[i, j]))
                for j in range(n)
            )
            for i in range(n)
        )
        blocks = blocks_of(factor, widths)
        parts = [D.mid for D in blocks.D], [C.mid for C in blocks.C]
        banded = block_tridiagonal._residual_norm(blocks_of(A, widths, share * R), parts, tau)
        full = posterior._error_norm(
            *(torch.tensor(a) for a in (A, share * R, tau * np.eye(n), factor.T.copy()))
        )
        for bound in (banded, float(full)):
            assert exact <= Fraction(bound) <= exact * (1 + Fraction(1, 10**6)) + Fraction(1e-12)


@pytest.mark.parametrize("slack", [0.5, np.nan, np.inf])
def test_a_slack_below_one_is_refused(slack):
    with pytest.raises(ValueError, match="slack"):
        is_block_tridiagonal_definite(BlockTridiagonal([], []), slack=slack)
    with pytest.raises(ValueError, match="slack"):
        are_positive_definite(torch.eye(2).double(), slack=slack)


def test_shapes_and_dtypes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="block-tridiagonal"):
        BlockTridiagonal([Ball(np.eye(2)), Ball(np.eye(3))], [Ball(np.ones((2, 3)))])
    with pytest.raises(ValueError, match="block-tridiagonal"):
        BlockTridiagonal([Ball(np.eye(2))], [Ball(np.eye(2))])
    with pytest.raises(ValueError, match="square"):
        are_positive_definite(torch.ones(2, 3).double())
    with pytest.raises(ValueError, match="float64"):
        are_positive_definite(torch.eye(2))


def test_nothing_is_definite():
    assert is_block_tridiagonal_definite(BlockTridiagonal([], []))
    assert are_positive_definite(torch.zeros(3, 0, 0).double()).tolist() == [True] * 3


def test_the_allowance_does_not_grow_with_the_number_of_blocks():
    """A margin that is proven for 4 blocks is for 400; an allowance by the trace would be ten times it."""
    for count in (4, 400):
        edge = 2.0 * np.cos(np.pi / (count + 1))  # the matrix of a path is definite from here on
        C = [Ball(-np.eye(2))] * (count - 1)
        for margin in (2e-11, -2e-11):
            D = [Ball((edge + margin) * np.eye(2))] * count
            assert is_block_tridiagonal_definite(BlockTridiagonal(D, C)) is (margin > 0)


def test_a_matrix_that_is_not_symmetric_is_not_accepted():
    S = torch.eye(3, dtype=torch.float64)
    S[0, 1] = 1e-300
    assert not bool(are_positive_definite(S))
    assert bool(are_positive_definite(S + S.mT))
