"""Spectra of convolutions: each block held, and norms never below those of the dense matrices."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_linalg_rigorous_roots import cos_sin

from certlip.blocks.dense_form import kernel_matrix
from certlip.linalg.rigorous import frequencies
from certlip.linalg.rigorous.frequencies import Spectrum, covering
from certlip.linalg.torus import Torus, anchor

shapes = st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 4)] * 2)
seeds = st.integers(0, 2**32 - 1)


def dense_norm(K, height, width, padding):
    matrix = kernel_matrix(torch.from_numpy(K), Torus(height, width), padding)
    return float(np.linalg.norm(matrix.numpy(), 2))


@settings(max_examples=15)
@given(seed=seeds, shape=shapes, extra=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_every_block_is_held(seed, shape, extra):
    o, i, kh, kw = shape
    H, W = kh + extra[0], kw + extra[1]
    rng = np.random.default_rng(seed)
    K = rng.standard_normal(shape) * 10.0 ** rng.integers(-5, 5)
    spectrum = Spectrum(K, H, W)
    turns = {}
    for number in rng.integers(0, len(spectrum), 3):
        f1, f2 = divmod(int(number), W)
        real, imaginary = [[[Fraction(0)] * i for _ in range(o)] for _ in range(2)]
        for s in range(kh):
            for t in range(kw):
                # the angle 2π(f₁(s − a)/H + f₂(t − a)/W) as a part of a turn over H·W
                k = (f1 * (s - anchor(kh)) * W + f2 * (t - anchor(kw)) * H) % (H * W)
                cos, sin = turns.setdefault(k, cos_sin(k, H * W))
                for a in range(o):
                    for b in range(i):
                        tap = Fraction(float(K[a, b, s, t]))
                        real[a][b] += tap * cos
                        imaginary[a][b] += tap * sin
        for part, true in ((spectrum.A, real), (spectrum.B, imaginary)):
            for a in range(o):
                for b in range(i):
                    error = abs(Fraction(float(part[number, a, b])) - true[a][b])
                    assert error <= Fraction(float(spectrum.rad[a, b])) * (1 + Fraction(1, 10**20))
    assert (spectrum.rad <= 1e-13 * np.abs(K).sum(axis=(2, 3))).all()


@settings(max_examples=20)
@given(seed=seeds, shape=shapes, extra=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_the_norm_on_a_torus_is_that_of_the_dense_matrix(seed, shape, extra):
    K = np.random.default_rng(seed).standard_normal(shape)
    H, W = shape[2] + extra[0], shape[3] + extra[1]
    true, proven = dense_norm(K, H, W, "circular"), covering(K, H, W, "circular").norm().value
    assert true * (1 - 1e-12) <= proven <= true * (1 + 1e-9)


@settings(max_examples=30)
@given(seed=seeds, shape=shapes, extra=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_the_covering_norm_is_no_less_than_with_zero_padding(seed, shape, extra):
    K = np.random.default_rng(seed).standard_normal(shape)
    H, W = shape[2] + extra[0], shape[3] + extra[1]
    proven = covering(K, H, W, "zero").norm().value
    assert proven >= dense_norm(K, H, W, "zero") * (1 - 1e-12)


@pytest.mark.parametrize("flip", [False, True])
def test_a_torus_as_large_as_the_image_does_not_cover_zero_padding(flip):
    # x ↦ x[p] − x[p + 1] on three pixels: 2cos(π/7) with zero padding, √3 on the torus of three
    K = np.array([[[[1.0, -1.0]]]])
    K = K.swapaxes(2, 3) if flip else K
    H, W = (3, 1) if flip else (1, 3)
    true = 2 * np.cos(np.pi / 7)
    assert dense_norm(K, H, W, "zero") == pytest.approx(true)
    assert Spectrum(K, H, W).norm().value < 1.74 < true
    assert covering(K, H, W, "zero").norm().value >= true


def test_chunks_of_frequencies_change_nothing(monkeypatch):
    K = np.random.default_rng(0).standard_normal((3, 2, 3, 4))
    whole = Spectrum(K, 6, 5)
    assert len(list(whole.chunks())) == 1
    monkeypatch.setattr(frequencies, "CHUNK", 1)
    monkeypatch.setattr(frequencies, "_WORKING", 1)
    parts = Spectrum(K, 6, 5)
    np.testing.assert_allclose(parts.A, whole.A, atol=1e-14)
    np.testing.assert_allclose(parts.B, whole.B, atol=1e-14)
    singles = list(parts.chunks())
    assert [single.shape for single in singles] == [(1, 6, 4)] * 20
    np.testing.assert_array_equal(np.concatenate([s.mid for s in singles]), parts.blocks().mid)


def test_a_kernel_larger_than_its_torus_is_refused():
    with pytest.raises(ValueError, match="kernel of 3×1 taps on a torus of 2×2"):
        Spectrum(np.ones((1, 1, 3, 1)), 2, 2)
