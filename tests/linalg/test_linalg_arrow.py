"""Block-tridiagonal matrices with a border: proven just when they are positive definite."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlip.linalg.rigorous.arrow import Arrow, is_arrow_positive_definite
from certlip.linalg.rigorous.ball import Ball


def pattern(sizes, q):
    """Which blocks may be nonzero."""
    count = len(sizes)
    label = np.repeat(np.arange(count + 1), [*sizes, q])
    near = np.abs(label[:, None] - label[None, :]) <= 1
    border = (label == count)[:, None] | (label == count)[None, :]
    return near | border


def random_arrow(seed, sizes, q, smallest):
    """A random matrix of the pattern, shifted so that its smallest eigenvalue is about `smallest`."""
    rng = np.random.default_rng(seed)
    n = sum(sizes) + q
    S = rng.standard_normal((n, n))
    S = (S + S.T) * pattern(sizes, q)
    return S + (smallest - np.linalg.eigvalsh(S)[0]) * np.eye(n)


def cut(S, sizes, q, R=None):
    """Its blocks."""
    R = np.zeros_like(S) if R is None else R
    edges = np.cumsum([0, *sizes, q])
    parts = [slice(a, b) for a, b in pairwise(edges)]

    def block(i, j):
        return Ball(S[parts[i], parts[j]].copy(), R[parts[i], parts[j]].copy())

    k = len(sizes)
    return Arrow(
        [block(i, i) for i in range(k)],
        [block(i + 1, i) for i in range(k - 1)],
        [block(k, i) for i in range(k)],
        block(k, k),
    )


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=5)


@given(st.integers(0, 2**32 - 1), shapes, st.integers(0, 3))
def test_both_sides_of_the_boundary(seed, sizes, q):
    for smallest in (1e-9, 1.0):
        assert is_arrow_positive_definite(cut(random_arrow(seed, sizes, q, smallest), sizes, q))
    for smallest in (-1e-9, -1.0):
        S = random_arrow(seed, sizes, q, smallest)
        assert not is_arrow_positive_definite(cut(S, sizes, q))


@given(st.integers(0, 2**32 - 1), shapes, st.integers(0, 3), st.floats(0.0, 2.0))
def test_every_matrix_of_the_ball_counts(seed, sizes, q, share):
    """−R along the lowest eigenvector's signs is in the ball: proven only if that is positive too."""
    S = random_arrow(seed, sizes, q, 1.0)
    _, vectors = np.linalg.eigh(S)
    sign = np.sign(vectors[:, 0])
    R = share * pattern(sizes, q) / max(len(S), 1)
    worst = S - R * np.outer(sign, sign)
    if is_arrow_positive_definite(cut(S, sizes, q, R)):
        assert np.linalg.eigvalsh(worst)[0] > 0
    if R.sum(axis=1).max() < 0.99:
        assert is_arrow_positive_definite(cut(S, sizes, q, R))


@pytest.mark.parametrize(
    "at", [[(2, 0), (3, 0)], [(2, 0), (2, 1)], [(4, 0), (5, 0)], [(4, 0), (4, 1)]]
)
def test_a_radius_counts_in_rows_and_columns(at):
    """Two radii r in one row or column, blocks below the diagonal or the border: ‖R‖₂ = √2·r."""
    sizes, q = [2, 2], 2
    R = np.zeros((6, 6))
    for i, j in at:
        R[i, j] = R[j, i] = 0.75
    assert not is_arrow_positive_definite(cut(np.eye(6), sizes, q, R))
    assert is_arrow_positive_definite(cut(np.eye(6), sizes, q, 0.6 * R))


@pytest.mark.parametrize("where", ["diagonal", "below", "border", "corner"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_numbers_that_are_none_prove_nothing(where, value):
    sizes, q = [2, 3], 2
    S = random_arrow(0, sizes, q, 1.0)
    i, j = {"diagonal": (1, 1), "below": (2, 0), "border": (5, 1), "corner": (6, 6)}[where]
    S[i, j] = S[j, i] = value
    if value == 1e308 and i == j:
        return  # a large diagonal entry is no reason to refuse
    assert not is_arrow_positive_definite(cut(S, sizes, q))
    R = np.zeros_like(S)
    R[i, j] = R[j, i] = abs(value)
    assert not is_arrow_positive_definite(cut(random_arrow(0, sizes, q, 1.0), sizes, q, R))


def test_a_border_of_its_own_scale():
    """[[S, gᵀ], [g, κ]] ≻ 0 exactly for κ > gS⁻¹gᵀ."""
    sizes = [2, 2, 2]
    S = random_arrow(3, [*sizes], 1, 2.0)
    g = S[-1, :-1]
    boundary = g @ np.linalg.solve(S[:-1, :-1], g)
    for factor, expected in ((1 + 1e-9, True), (1 - 1e-9, False)):
        S[-1, -1] = boundary * factor
        assert is_arrow_positive_definite(cut(S, sizes, 1)) == expected


def test_malformed_blocks_are_refused():
    arrow = cut(random_arrow(0, [2, 3], 1, 1.0), [2, 3], 1)
    with pytest.raises(ValueError, match="symmetric"):
        Arrow([Ball(np.array([[1.0, 2.0], [0.0, 1.0]]))], [], [Ball(np.zeros((0, 2)))], NONE)
    with pytest.raises(ValueError, match="shapes"):
        Arrow(arrow.diagonal, [], arrow.border, arrow.corner)
    with pytest.raises(ValueError, match="shapes"):
        Arrow([], [], [], NONE)
    with pytest.raises(ValueError, match="slack"):
        is_arrow_positive_definite(arrow, slack=0.5)


NONE = Ball(np.zeros((0, 0)))


def test_rounding_of_every_step_counts():
    """Sixty borders x_k of unit blocks, each chosen so that what is left of the corner is rounded up:
    Cholesky alone completes, though Σ x_k² is above the corner."""
    rng, left, border, exact = np.random.default_rng(0), 1.0 - 2.0**-53, [], Fraction(1)
    for k in range(60):
        near = np.sqrt(left / (60 - k) if k < 59 else left - 1e-15)
        tried = near * (1 + 1e-6 * rng.uniform(-1, 1, 200) * (k < 59))
        gains = [Fraction(left - x * x) - Fraction(left) + Fraction(x) ** 2 for x in tried]
        x = float(tried[int(np.argmax(gains))])
        left, exact = left - x * x, exact - Fraction(x) ** 2
        border.append(x)
    one = 1.0 + 2.0**-52  # 1 after the least shift
    assert left > 0 > 1 - (1 - exact) / Fraction(one)
    S = np.diag([*[one] * 60, 1.0])
    S[-1, :-1] = S[:-1, -1] = border
    assert not is_arrow_positive_definite(cut(S, [1] * 60, 1))
    S[-1, -1] += 1e-12
    assert is_arrow_positive_definite(cut(S, [1] * 60, 1))
