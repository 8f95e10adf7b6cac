"""The matrix proofs against exact rational arithmetic: never accept what is not true."""

from fractions import Fraction

import numpy as np
import pytest
from checker_nets import affine, equilibrium, residual, triangular
from exact import definite, rational
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.checker import rigorous
from certlip.checker.rigorous import UNIT, Ball, is_positive_definite

seeds = st.integers(0, 2**32 - 1)


def exact(A):
    """A matrix that is known exactly, as a ball."""
    return Ball(A, np.zeros_like(A))


def norm_at_most(A, tau):
    return exact(A).norm_at_most(tau)


def norm_upper(A):
    return exact(A).norm_upper()


def condition_3(W, gam, mu):
    return rigorous.condition_3(exact(W), gam, mu)


def condition_10(W, U, G, lam, lip):
    return rigorous.condition_10(exact(W), exact(U).gram(), exact(G).T.gram(), lam, lip)


def condition_residual(W, D, delta):
    return rigorous.condition_residual(exact(W).T, D, delta)


def near_singular(rng, n, smallest, spread):
    """Symmetric, with a smallest eigenvalue of about `smallest` before a bad diagonal scaling."""
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    S = (Q * np.array([smallest, *rng.uniform(0.1, 1.0, n - 1)])) @ Q.T
    D = 10.0 ** rng.uniform(-spread, spread, n)
    S = D[:, None] * S * D
    return np.tril(S) + np.tril(S, -1).T


@settings(deadline=None, max_examples=300)
@given(
    seeds, st.integers(2, 6), st.floats(-17, -13), st.booleans(), st.sampled_from([0, 3, 40, 140])
)
def test_an_accepted_matrix_is_definite(seed, n, exponent, negative, spread):
    S = near_singular(np.random.default_rng(seed), n, (-1) ** negative * 10**exponent, spread)
    if is_positive_definite(S, np.zeros_like(S)):
        assert definite(rational(S))


def test_cholesky_completes_on_indefinite_matrices_that_are_not_accepted():
    """[[I, x], [xᵀ, t]] with t just below ‖x‖²: rounding alone decides what Cholesky says."""
    completed = 0
    for seed in range(40):
        x = np.full(300, np.random.default_rng(seed).uniform(0.5, 1.0) / np.sqrt(300))
        square = sum(Fraction(float(v)) ** 2 for v in x)
        t = float(square)
        t = t if Fraction(t) < square else float(np.nextafter(t, 0.0))
        S = np.eye(301)
        S[-1, :-1], S[:-1, -1], S[-1, -1] = x, x, t
        assert not is_positive_definite(S, np.zeros_like(S))
        try:
            np.linalg.cholesky(S - np.diag(np.spacing(np.diag(S))))
            completed += 1
        except np.linalg.LinAlgError:
            pass
    assert completed  # so it is the allowance for rounding that rejects


@pytest.mark.parametrize("entry", [np.nan, np.inf, 0.0, -1.0])
def test_a_factor_that_is_no_factor_proves_nothing(entry, monkeypatch):
    monkeypatch.setattr(np.linalg, "cholesky", lambda _: np.diag([1.0, entry]))
    assert not is_positive_definite(np.eye(2), np.zeros((2, 2)))


def test_the_lower_triangle_of_the_radius_counts_twice():
    S = np.eye(3) + 0.4 * (np.eye(3, k=1) + np.eye(3, k=-1))
    assert not is_positive_definite(S, 0.4 * np.eye(3, k=-1))


@settings(deadline=None, max_examples=100)
@given(seeds, st.integers(2, 5), st.floats(-12, -3))
def test_the_radius_is_paid_for(seed, n, exponent):
    """Where S − |R| in the worst direction is indefinite, nothing is proven."""
    rng = np.random.default_rng(seed)
    S = near_singular(rng, n, 10**exponent, 0)
    R = np.abs(rng.normal(size=(n, n))) * rng.choice([0.01, 0.3, 3.0]) * 10**exponent
    R = np.tril(R) + np.tril(R, -1).T
    if is_positive_definite(S, R):
        v = np.sign(np.linalg.eigh(S)[1][:, 0])
        assert definite(rational(S - R * np.outer(v, v) * (1 - 1e-3)))


@settings(deadline=None)
@given(seeds, st.integers(2, 40), st.sampled_from([0, 3, 100]))
def test_a_margin_of_twice_the_bound_is_enough(seed, n, spread):
    bound = 2 * 4 * (n + 3) * n * UNIT  # 2 c for a trace of at most 4n after scaling
    rng = np.random.default_rng(seed)
    B = rng.normal(size=(n, n - 1))
    S = B @ B.T
    D = 1 / np.sqrt(np.diag(S))
    S = D[:, None] * S * D + bound * np.eye(n)
    D = 2.0 ** np.round(rng.uniform(-spread, spread, n))
    S = D[:, None] * S * D
    S = np.tril(S) + np.tril(S, -1).T
    assert is_positive_definite(S, np.zeros_like(S))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (2, 1), (1, 2), (2, 2)])
def test_nan_and_infinity_prove_nothing(bad, place):
    for which in range(2):
        S, R = np.eye(3), np.zeros((3, 3))
        (S, R)[which][place] = bad
        assert not is_positive_definite(S, R)


@pytest.mark.parametrize(
    "S",
    [
        np.zeros((2, 2)),
        -np.eye(2),
        np.ones((2, 2)),
        np.array([[1.0, 2.0], [2.0, 1.0]]),
        np.diag([1.0, 0.0]),
        np.diag([1.0, -1e-300]),
        np.array([[1e-300, 1.0], [1.0, 1e-300]]),
    ],
)
def test_matrices_that_are_not_definite(S):
    assert not is_positive_definite(S, np.zeros_like(S))


def test_negative_radius_and_extreme_scales():
    assert not is_positive_definite(np.eye(2), -np.ones((2, 2)))
    assert is_positive_definite(np.diag([1e-200, 1.0, 1e200]), np.zeros((3, 3)))
    assert is_positive_definite(np.diag([5e-324, 1e308]), np.zeros((2, 2)))
    assert not is_positive_definite(np.diag([1.0, 1.0]), np.full((2, 2), 0.6))
    assert is_positive_definite(np.diag([1.0, 1.0]), np.full((2, 2), 0.4))


# --- spectral norms ---------------------------------------------------------------------------


@settings(deadline=None)
@given(seeds, st.integers(1, 5), st.integers(1, 5), st.sampled_from([0, -90, 90, -200]))
def test_norms_are_upper_bounds(seed, m, n, scale):
    A = np.random.default_rng(seed).normal(size=(m, n)) * 10.0**scale
    for tau in [norm_upper(A), *(np.linalg.norm(A, 2) * (1 + t) for t in (-1e-15, 1e-15, 1e-13))]:
        if norm_at_most(A, float(tau)):
            square, rows = Fraction(float(tau)) ** 2, rational(A if m <= n else A.T)
            gram = [[sum(p * q for p, q in zip(a, b, strict=True)) for b in rows] for a in rows]
            shifted = [
                [square * (1 + Fraction(1, 10**40)) * (i == j) - g for j, g in enumerate(row)]
                for i, row in enumerate(gram)
            ]
            assert definite(shifted)
    if abs(scale) < 100:
        assert norm_upper(A) <= np.linalg.norm(A, 2) * 1.00001


@pytest.mark.parametrize(
    ("A", "tau"),
    [
        (np.eye(3, 5), 1.0),
        (np.eye(5, 3)[::-1].copy(), 1.0),
        (np.kron(np.eye(4), np.full((1, 4), 0.25)), 0.5),
        (np.diag([3.0, -4.0]), 4.0),
        (np.array([[1.0, 2.0**-54], [2.0**-54, 1.0]]), np.nextafter(1.0, 2.0)),
    ],
)
def test_norms_that_are_known_exactly(A, tau):
    assert norm_at_most(A, tau * (1 + 5e-15))
    assert not norm_at_most(A, tau * (1 - 1e-15))


def test_norms_of_extreme_matrices():
    assert norm_at_most(np.zeros((2, 3)), 1e-100)
    assert not norm_at_most(np.full((1, 1), 5e-324), 0.0)
    assert 1e-200 <= norm_upper(np.diag([1e-200, 1e-201])) < 1e-120
    with np.errstate(over="raise"):
        assert 1e160 <= norm_upper(np.diag([1e160, 1.0])) < 1.00001e160


# --- the conditions, exactly --------------------------------------------------------------------


@pytest.fixture
def assembled(monkeypatch):
    """Runs a condition and returns the S and R that it would have proven."""
    seen = []

    def record(S, R):
        seen[:] = [S, R]
        return True

    monkeypatch.setattr(rigorous, "is_positive_definite", record)
    return seen


def assert_contains(seen, truth, loose):
    """The exact matrix is within R of S in the lower triangle, and R is near what is needed."""
    S, R = seen
    for i in range(len(truth)):
        for j in range(i + 1):
            assert abs(Fraction(float(S[i, j])) - truth[i][j]) <= Fraction(float(R[i, j]))
    assert R.max() <= loose * 30 * UNIT


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [1.0, 1e8])
def test_assembled_matrices_contain_the_exact_ones(seed, size, assembled):
    """With a skew part of 1e8 the entries of (3) and (10) cancel to their last digits."""
    rng = np.random.default_rng(seed)
    (_, _, a), proof = equilibrium(rng, 5, 4, 3)
    lam, skew = proof["lam"], rng.normal(size=(5, 5)) * size
    W = a["W"] + (skew - skew.T) / lam[:, None]
    condition_10(W, a["U"] * 3, a["G"], lam, 1.7)
    assert_contains(assembled, exact_10(W, a["U"] * 3, a["G"], lam, 1.7), 100 * size)
    condition_3(W, lam, 0.3)
    zero = np.zeros((5, 1))
    lowered = exact_10(W, zero, zero.T, lam, 1.0)
    for i in range(5):
        lowered[i][i] -= 2 * Fraction(0.3) * Fraction(float(lam[i]))
    assert_contains(assembled, lowered, 100 * size)
    for k in (3, 6):  # the two sides of the residual condition, and of the norm
        (_, _, b), _ = residual(rng, 4, k)
        V, D = b["W"] * size, b["D"] / size**2
        condition_residual(V, D, 1e-3)
        assert_contains(assembled, exact_residual(V, D, 1e-3), 100 * size**2 if k == 3 else 10)
        norm_at_most(V, 0.3 * size)
        rows = rational(V.T if k == 3 else V)
        truth = [[-product(x, y) for y in rows] for x in rows]
        for i in range(len(rows)):
            truth[i][i] += Fraction(0.3 * size) ** 2
        assert_contains(assembled, truth, 100 * size**2)


def product(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def exact_residual(W, D, delta):
    """(1 + δ)D⁻¹ − WᵀW, or (1 + δ)I − W D Wᵀ if that is smaller."""
    narrow, d = len(D) <= len(W), [Fraction(float(x)) for x in D]
    rows, top = rational(W.T if narrow else W), 1 + Fraction(delta)
    weights = [Fraction(1)] * len(W) if narrow else d
    return [
        [
            (top / d[i] if narrow else top) * (i == j)
            - sum(p * w * q for p, w, q in zip(x, weights, y, strict=True))
            for j, y in enumerate(rows)
        ]
        for i, x in enumerate(rows)
    ]


def exact_10(W, U, G, lam, lip):
    n, L = len(W), Fraction(lip)
    W, U, Gt, lam = rational(W), rational(U), rational(G.T), [Fraction(float(x)) for x in lam]
    return [
        [
            2 * lam[i] * (i == j)
            - lam[i] * W[i][j]
            - lam[j] * W[j][i]
            - product(Gt[i], Gt[j]) / L
            - lam[i] * lam[j] * product(U[i], U[j]) / L
            for j in range(n)
        ]
        for i in range(n)
    ]


@settings(deadline=None, max_examples=40)
@given(seeds, st.floats(-16, -1), st.sampled_from([1.0, 1e-25, 1e25]))
def test_condition_10_against_exact_arithmetic(seed, exponent, scale):
    """L is lowered until (10) fails: whatever is accepted on the way holds exactly."""
    (_, _, a), proof = equilibrium(np.random.default_rng(seed), 4, 3, 2)
    G, lam = a["G"] * np.sqrt(scale), proof["lam"] * scale
    best = smallest_lip(a["W"], a["U"], a["G"], proof["lam"])
    for lip in (best * (1 + 10**exponent), best * (1 - 10**exponent)):
        # (10) is homogeneous in (Λ, GᵀG, 1/U²); G and Λ scaled by s need U scaled by s^(−½)
        U = a["U"] / np.sqrt(scale)
        if condition_10(a["W"], U, G, lam, lip):
            assert definite(exact_10(a["W"], U, G, lam, lip))
    assert condition_10(a["W"], a["U"] / np.sqrt(scale), G, lam, best * (1 + 1e-9))
    assert not condition_10(a["W"], a["U"] / np.sqrt(scale), G, lam, best * (1 - 1e-9))


def smallest_lip(W, U, G, lam):
    M = 2 * np.diag(lam) - lam[:, None] * W - (lam[:, None] * W).T
    lam_U = lam[:, None] * U
    B = G.T @ G + lam_U @ lam_U.T
    C = np.linalg.inv(np.linalg.cholesky(M))
    return float(np.linalg.eigvalsh(C @ B @ C.T)[-1])


@settings(deadline=None, max_examples=60)
@given(seeds, st.floats(-15, -1), st.booleans())
def test_condition_3_against_exact_arithmetic(seed, exponent, above):
    (_, _, a), proof = equilibrium(np.random.default_rng(seed), 4, 3, 2)
    W, gam = a["W"], proof["gam"]
    mu = float(proof["mu_lower"]) / 0.99 * (1 + (1 if above else -1) * 10**exponent)
    if condition_3(W, gam, mu):
        w, g, m = rational(W), [Fraction(float(x)) for x in gam], Fraction(mu)
        assert definite(
            [
                [2 * (1 - m) * g[i] * (i == j) - g[i] * w[i][j] - g[j] * w[j][i] for j in range(4)]
                for i in range(4)
            ]
        )
    assert not (above and exponent > -12 and condition_3(W, gam, mu))
    assert above or exponent < -12 or condition_3(W, gam, mu)


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(1, 6), st.floats(-15, -1), st.booleans(), st.sampled_from([1.0, 1e100]))
def test_residual_condition_against_exact_arithmetic(seed, k, exponent, above, scale):
    """4 × k: both sides of the smaller-side choice. D is scaled to touch the boundary."""
    (_, _, a), _ = residual(np.random.default_rng(seed), 4, k)
    W, D = a["W"] / np.sqrt(scale), a["D"] * scale
    D = D / np.linalg.norm(W * np.sqrt(D), 2) ** 2 * (1 + (1 if above else -1) * 10**exponent)
    D, W = np.append(D, 0.0), np.column_stack([W, 1e9 * np.ones(4)])  # never acts
    accepted = condition_residual(W, D, 0.0)
    assert accepted == (not above) or exponent < -12
    if accepted:
        rows, d = rational(W[:, :-1]), [Fraction(float(x)) for x in D[:-1]]
        gram = [
            [
                (i == j) * (1 + Fraction(1, 10**40))
                - sum(p * w * q for p, w, q in zip(rows[i], d, rows[j], strict=True))
                for j in range(4)
            ]
            for i in range(4)
        ]
        assert definite(gram)


def test_residual_condition_uses_delta_and_ignores_idle_columns():
    W, D = np.eye(3), np.array([1.0, 1.0 + 5e-7, 0.0])
    assert not condition_residual(W, D, 0.0)
    assert not condition_residual(W, D, 4e-7)
    assert condition_residual(W, D, 1e-6)
    assert condition_residual(W, np.zeros(3), 0.0)
    W, D = np.ones((1, 2)), np.array([0.5, 0.5 + 5e-7])
    assert not condition_residual(W, D, 4e-7)
    assert condition_residual(W, D, 1e-6)


def test_layers_of_the_size_in_use():
    rng = np.random.default_rng(1)
    block, proof = residual(rng, 64, 128)
    assert condition_residual(block[2]["W"], block[2]["D"], 0.0)
    block, proof = affine(rng, 64, 200)
    assert norm_at_most(block[2]["W"], float(proof["lipschitz_upper"]))
    (_, _, a), proof = triangular(rng, 90, 20, 10)
    assert condition_10(a["W"], a["U"], a["G"], proof["lam"], float(proof["lipschitz_upper"]))
