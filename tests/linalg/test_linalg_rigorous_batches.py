"""Batches of matrices: what is proven of a batch is proven of every matrix in it."""

import numpy as np
import pytest
from exact import definite, rational
from hypothesis import given
from hypothesis import strategies as st

from certlip.linalg.rigorous import is_positive_definite, negative_direction, spectral_norm
from certlip.linalg.rigorous.ball import Ball, joined, mirrored, norm2_of_radius

seeds = st.integers(0, 2**32 - 1)


def matrices(seed, count, n, low=-14.0):
    """Symmetric matrices whose smallest eigenvalues are about ±10^low or larger."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
        smallest = rng.choice([-1, 1, 1, 1]) * 10 ** rng.uniform(low, 0)
        A = (Q * np.array([smallest, *rng.uniform(0.1, 1.0, n - 1)])) @ Q.T
        found.append(np.tril(A) + np.tril(A, -1).T)
    return np.array(found)


@given(seed=seeds, count=st.integers(1, 5), n=st.integers(1, 5))
def test_a_batch_is_definite_only_if_every_matrix_is(seed, count, n):
    S = matrices(seed, count, n)
    if is_positive_definite(Ball(S)):
        assert all(definite(rational(A)) for A in S)


@given(seed=seeds, count=st.integers(1, 4), n=st.integers(1, 5))
def test_a_batch_with_room_is_accepted_as_its_matrices_are(seed, count, n):
    rng = np.random.default_rng(seed)
    S = matrices(seed, count, n) + 2.0 * np.eye(n)
    R = np.abs(rng.normal(size=(count, n, n)))
    R = 0.1 * (R + R.swapaxes(1, 2)) / n
    assert is_positive_definite(Ball(S, R)) == all(
        is_positive_definite(Ball(A, r)) for A, r in zip(S, R, strict=True)
    )


@given(seed=seeds, n=st.integers(2, 5), exponent=st.integers(0, 200))
def test_small_matrices_do_not_help_a_singular_one(seed, n, exponent):
    B = np.random.default_rng(seed).integers(-9, 10, (n, n - 1)).astype(float)
    singular, small = np.ldexp(B @ B.T, exponent), np.ldexp(np.eye(n), -exponent)
    for batch in ([singular, small], [small, singular]):
        assert not is_positive_definite(Ball(np.array(batch)))


@pytest.mark.parametrize("where", [0, 3, 6])
@pytest.mark.parametrize("bad", ["nan", "inf", "indefinite", "unsymmetric", "radius"])
def test_one_bad_matrix_spoils_the_batch(where, bad):
    S, R = np.tile(np.eye(3), (7, 1, 1)), np.zeros((7, 3, 3))
    assert is_positive_definite(Ball(S, R))
    if bad == "radius":
        R[where] = 0.34
    else:
        entry = {"nan": np.nan, "inf": np.inf, "indefinite": -1e-9, "unsymmetric": 1.0}[bad]
        S[(where, 1, 0) if bad == "unsymmetric" else (where, 1, 1)] = entry
    assert not is_positive_definite(Ball(S, R))


def test_the_radius_of_each_matrix_counts_for_itself():
    rad = np.stack([np.full((2, 2), 0.1), np.full((2, 2), 0.4)])
    assert norm2_of_radius(rad) == pytest.approx([0.2, 0.8])
    assert norm2_of_radius(None) == 0.0


@given(seed=seeds, count=st.integers(1, 5))
def test_the_most_negative_matrix_of_a_batch_refutes_it(seed, count):
    S = matrices(seed, count, 3, low=-3.0)
    true = np.linalg.eigvalsh(S).min()
    found = negative_direction(Ball(S))
    assert (found is not None) == (true < 0.0)
    if found is not None:
        assert found[1] == pytest.approx(true, rel=1e-9)


@given(seed=seeds, shape=st.tuples(*[st.integers(1, 4)] * 3))
def test_the_norm_of_a_batch_bounds_every_matrix_and_no_more(seed, shape):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal(shape) * 10.0 ** rng.integers(-200, 200)
    true = max(np.linalg.svd(a, compute_uv=False)[0] for a in A)
    assert true * (1 - 1e-12) <= spectral_norm(A).value <= true * (1 + 1e-9)
    R = 0.1 * np.abs(A)
    corner = max(
        np.linalg.svd(a + r * np.sign(a), compute_uv=False)[0] for a, r in zip(A, R, strict=True)
    )
    assert spectral_norm(Ball(A, R)).value >= corner * (1 - 1e-12)


def test_transpose_and_mirror_act_on_each_matrix():
    A = Ball(np.arange(12.0).reshape(2, 2, 3), np.arange(12.0).reshape(2, 2, 3))
    assert A.T.shape == (2, 3, 2)
    np.testing.assert_array_equal(A.T.mid[1], A.mid[1].T)
    square = mirrored(joined(A, A, axis=1)[:, :3])
    for half in (square.mid, square.radius()):
        np.testing.assert_array_equal(half, half.swapaxes(1, 2))
    np.testing.assert_array_equal(square.mid[:, 2, 0], A.mid[:, 0, 0])
