"""The matrices of (3) and (10): equal to their construction, tight, and enclosed exactly."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lmi_nets import block_of, parts_with_margin

from certlip.errors import InputError
from certlip.lmi import Conditions

seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=50)
@given(seed=seeds, lip=st.floats(0.1, 10.0))
def test_lipschitz_matrix_equals_its_construction(seed, lip):
    parts, V = parts_with_margin(seed, lip=lip)
    M = Conditions(block_of(parts["W"], parts["U"], parts["G"])).lipschitz(parts["lam"], lip)
    np.testing.assert_allclose(M.mid, 2 * V.T @ V, atol=1e-9)


@settings(deadline=None, max_examples=50)
@given(w=st.floats(-5.0, 0.95), u=st.floats(0.1, 5.0), g=st.floats(0.1, 5.0))
def test_scalar_condition_is_tight_at_the_true_slope(w, u, g):
    true = g * u / (1 - w)  # slope of y = gz, z = relu(wz + ux), where active
    conditions = Conditions(block_of([[w]], [[u]], [[g]]))
    for lip, sign in ((1.001 * true, 1), (0.999 * true, -1)):
        best = np.array([lip * (1 - w) / u**2])  # the multiplier that maximises the matrix
        assert sign * conditions.lipschitz(best, lip).mid.item() > 0


def exact(array):
    return [[Fraction(float(v)) for v in row] for row in np.atleast_2d(array)]


def product(A, B):
    return [
        [sum(a * b for a, b in zip(row, col, strict=True)) for col in zip(*B, strict=True)]
        for row in A
    ]


@settings(deadline=None, max_examples=60)
@given(seed=seeds, n=st.integers(1, 4), exponent=st.integers(-40, 40), lip=st.floats(1e-3, 1e3))
def test_radius_contains_the_exact_rational_matrix(seed, n, exponent, lip):
    rng = np.random.default_rng(seed)
    W, U, G = (
        10.0 ** rng.integers(-6, 6) * rng.standard_normal(s) for s in ((n, n), (n, 3), (2, n))
    )
    lam, mu = 10.0**exponent * rng.uniform(0.1, 9.0, n), float(rng.uniform(0, 2))
    conditions = Conditions(block_of(W, U, G))
    W, U, G, (lam_q,) = exact(W), exact(U), exact(G), exact(lam)
    UU, GG = product(U, list(zip(*U, strict=True))), product(list(zip(*G, strict=True)), G)
    L, M = Fraction(lip), Fraction(mu)
    for ball, extra in (
        (conditions.well_posed(lam, mu), lambda i, j: 2 * M * lam_q[i] * (i == j)),
        (
            conditions.lipschitz(lam, lip),
            lambda i, j: (GG[i][j] + lam_q[i] * UU[i][j] * lam_q[j]) / L,
        ),
    ):
        for i in range(n):
            for j in range(n):
                true = (
                    2 * lam_q[i] * (i == j) - lam_q[i] * W[i][j] - W[j][i] * lam_q[j] - extra(i, j)
                )
                assert abs(true - Fraction(float(ball.mid[i, j]))) <= Fraction(
                    float(ball.rad[i, j])
                )


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_midpoint_and_radius_are_exactly_symmetric(n):
    parts, _ = parts_with_margin(n, n=n)
    conditions = Conditions(block_of(parts["W"], parts["U"], parts["G"]))
    for ball in (conditions.well_posed(parts["lam"], 0.1), conditions.lipschitz(parts["lam"], 3.0)):
        assert np.array_equal(ball.mid, ball.mid.T)
        assert np.array_equal(ball.rad, ball.rad.T)
        assert (ball.rad >= 0).all()


@pytest.mark.parametrize(
    ("lam", "match"),
    [
        ([1.0, 0.0], r"lam\[1\] = 0.0"),
        ([-1.0, 1.0], r"lam\[0\] = -1.0"),
        ([1.0, np.nan], r"lam\[1\] = nan"),
        ([1.0, np.inf], "positive and finite"),
        ([1.0], r"shape \(1,\): expected \(2,\)"),
        ([[1.0], [1.0]], r"shape \(2, 1\)"),
    ],
)
def test_multipliers_that_prove_nothing_are_refused(lam, match):
    conditions = Conditions(block_of(np.zeros((2, 2)), np.eye(2), np.eye(2)))
    with pytest.raises(InputError, match=match):
        conditions.lipschitz(np.array(lam), 1.0)
    with pytest.raises(InputError, match=match.replace("lam", "gam")):
        conditions.well_posed(np.array(lam))


@pytest.mark.parametrize("lip", [0.0, -1.0, np.nan, np.inf])
def test_a_bound_that_is_not_positive_and_finite_is_refused(lip):
    conditions = Conditions(block_of([[0.0]], [[1.0]], [[1.0]]))
    with pytest.raises(InputError, match="positive and finite"):
        conditions.lipschitz(np.ones(1), lip)


@pytest.mark.parametrize("mu", [-1e-9, np.nan, np.inf])
def test_a_margin_that_is_negative_or_not_finite_is_refused(mu):
    with pytest.raises(InputError, match="monotonicity margin"):
        Conditions(block_of([[0.0]], [[1.0]], [[1.0]])).well_posed(np.ones(1), mu)


def test_negative_multiplier_would_prove_an_ill_posed_block():
    w, u, g, lam, lip = 2.0, 0.1, 0.1, -1.0, 1.0  # z = relu(2z + …) has two solutions or none
    assert 2 * lam - 2 * lam * w - g**2 / lip - (lam * u) ** 2 / lip > 0
    with pytest.raises(InputError, match="positive and finite"):
        Conditions(block_of([[w]], [[u]], [[g]])).lipschitz(np.array([lam]), lip)
