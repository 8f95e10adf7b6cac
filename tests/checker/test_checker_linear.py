"""Convolutions of the checker against exact arithmetic: table, products, spectra, adjoint."""

from fractions import Fraction

import numpy as np
import pytest
from exact_maps import PADDINGS, F, exact_map, matrix, norm_squared, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.checker.linear import Linear, roots
from certlip.checker.rigorous import UNIT


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 12, 30, 99, 1024, 1089])
def test_roots_of_unity(n):
    """|z| = 1, z_k z_l = z_{k+l}, the right quadrant; exact zeros, and no library to trust."""
    cos, sin = roots(n)
    angle = 2 * np.pi * np.arange(n) / n
    np.testing.assert_allclose([cos, sin], [np.cos(angle), np.sin(angle)], atol=3e-15)
    tight = Fraction(5, 2**53)
    for k in range(0, n, max(1, n // 7)):
        for j in range(0, n, max(1, n // 5)):
            c, s, d, t = F(cos[k]), F(sin[k]), F(cos[j]), F(sin[j])
            m = (j + k) % n
            assert abs(c * d - s * t - F(cos[m])) <= tight
            assert abs(c * t + s * d - F(sin[m])) <= tight
        assert (cos[k] == 0.0) == (4 * k in (n, 3 * n))
        assert (sin[k] == 0.0) == (2 * k % n == 0)


def test_roots_are_within_two_units():
    """Against 60 digits of π and a series of its own."""
    pi = Fraction(3141592653589793238462643383279502884197169399375105820974944, 10**60)
    for n in (7, 24, 33):
        cos, sin = roots(n)
        for k in range(n):
            x = 2 * pi * k / n
            terms, term = [], Fraction(1)
            for j in range(110):
                terms.append(term)
                term = term * x / (j + 1)
            for value, first in ((cos[k], 0), (sin[k], 1)):
                truth = sum((-1) ** (j // 2) * terms[j] for j in range(first, 110, 2))
                allowed = 2 * Fraction(UNIT) * abs(F(value)) + Fraction(1, 10**55)
                assert abs(F(value) - truth) <= allowed


@settings(deadline=None, max_examples=60)
@given(seeds, st.sampled_from(PADDINGS), st.integers(1, 3), st.integers(1, 3), st.integers(-40, 40))
def test_products_are_within_their_error(seed, circular, kh, kw, scale):
    rng = np.random.default_rng(seed)
    sides = (int(rng.integers(kh, 5)), int(rng.integers(kw, 5)))
    K = rng.normal(size=(2, 2, kh, kw)) * 2.0**scale
    K[0] = np.round(K[0], 1) * 1e8  # cancellation
    x = rng.normal(size=(1, 2 * sides[0] * sides[1]))
    map_ = Linear(K, sides, circular)
    left, right = rng.uniform(0.1, 10, 2), rng.uniform(0.1, 10, 2)
    for f in (map_, map_.adjoint()):
        v, truth = f(x)[0], None
        if f is map_:
            truth = exact_map(K, sides, circular, x[0])
        else:
            rows = [exact_map(K, sides, circular, e) for e in np.eye(x.shape[1])]
            truth = [sum(F(x[0, j]) * r[j] for j in range(len(r))) for r in rows]
        pixels = sides[0] * sides[1]
        off = [(F(a) - t) * F(w) for a, t, w in zip(v, truth, np.repeat(left, pixels), strict=True)]
        size = sum((F(a) / F(w)) ** 2 for a, w in zip(x[0], np.repeat(right, pixels), strict=True))
        bound = F(f.error(left, right)) ** 2 * size
        assert norm_squared(off) <= bound
        assert f.error() <= 40 * UNIT * np.abs(K).sum()


@pytest.mark.parametrize("circular", PADDINGS)
def test_the_adjoint_is_the_transpose(circular):
    rng = np.random.default_rng(0)
    for taps in ((1, 1), (2, 3), (3, 2), (4, 4)):
        map_ = Linear(rng.normal(size=(3, 2, *taps)), (4, 5), circular)
        np.testing.assert_allclose(matrix(map_.adjoint()), matrix(map_).T, atol=1e-14)


@pytest.mark.parametrize("circular", PADDINGS)
@pytest.mark.parametrize("sides", [(4, 5), (5, 4), (1, 6), (6, 1), (3, 3), (2, 2)])
def test_spectra_hold_every_singular_value(circular, sides):
    """On the torus the blocks have the singular values of the matrix; with zeros theirs are larger."""
    rng = np.random.default_rng(1)
    taps = (min(3, sides[0]), min(2, sides[1]))
    map_ = Linear(rng.normal(size=(2, 3, *taps)), sides, circular)
    dense = np.linalg.svd(matrix(map_), compute_uv=False)
    blocks = np.concatenate([S for S, _ in map_.spectra(3)])
    found = np.linalg.svd(blocks, compute_uv=False)
    if circular:
        for value in dense:
            assert np.abs(found - value).min() < 1e-12
        assert abs(found.max() - dense.max()) < 1e-12
    assert found.max() >= dense.max() * (1 - 1e-13)
    for S, R in map_.spectra(2):
        assert S.shape == R.shape
        assert (40 * UNIT * np.abs(map_.K).sum() >= R).all()


@pytest.mark.parametrize("n", [3, 4])
def test_spectra_contain_the_exact_ones(n):
    """At angles of 0°, 90° and 180° (n = 4), or with cos 120° = −½ and sin² = ¾ (n = 3)."""
    K = np.random.default_rng(n).normal(size=(2, 2, 1, n)) * 10.0 ** np.arange(n)
    ((S, R),) = Linear(K, (1, n)).spectra(9)
    for f in range(len(S)):
        for o in range(2):
            for i in range(2):
                A = Fraction(0)
                B = Fraction(0)  # in units of sin 60° if n = 3
                for t in range(n):
                    k = f * (t - (n - 1) // 2) % n
                    c = {3: [1, Fraction(-1, 2), Fraction(-1, 2)], 4: [1, 0, -1, 0]}[n][k]
                    s = {3: [0, 1, -1], 4: [0, 1, 0, -1]}[n][k]
                    A, B = A + F(K[o, i, 0, t]) * c, B + F(K[o, i, 0, t]) * s
                assert abs(F(S[f, o, i]) - A) <= F(R[f, o, i])
                assert abs(F(S[f, o, i]) - F(S[f, 2 + o, 2 + i])) == 0
                low, high = (F(S[f, 2 + o, i]) + d * F(R[f, 2 + o, i]) for d in (-1, 1))
                unit = Fraction(3, 4) if n == 3 else Fraction(1)
                signed = B * abs(B) * unit  # compare squares with their signs
                assert low * abs(low) <= signed <= high * abs(high)


def test_the_table_counts_as_an_error_of_the_kernel():
    """Two products with numbers that are off by 2u: at least 5u of each |K[t] cos|."""
    K = np.array([[[[0.0, 3.0]]]])
    ((S, R),) = Linear(K, (1, 7)).spectra(9)
    assert (4.9 * UNIT * np.abs(S) <= R).all()


def test_zero_padding_needs_the_larger_torus():
    """x[p] − x[p + 1] on three pixels: norm 2cos(π/7) = 1.802, but √3 on the torus of three."""
    K = np.array([[[[0.0, 1.0, -1.0]]]])
    for circular, low, high in ((False, 1.8019, 2.1), (True, 1.7320, 1.7321)):
        found = max(S.norm_upper() for S in Linear(K, (1, 3), circular).spectra(9))
        assert low < found < high


def test_stacks_of_several_maps_are_at_the_same_frequencies():
    rng = np.random.default_rng(0)
    W, U = (Linear(rng.normal(size=(30, c, 2, 2)), (12, 12)) for c in (30, 3))
    stacks = list(zip(W.spectra(), U.spectra(), strict=True))
    assert len(stacks) > 0
    for A, B in stacks:
        assert len(A.S) == len(B.S)
    assert sum(len(A.S) for A, _ in stacks) == 12 * 7
