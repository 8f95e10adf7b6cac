"""The transform on a torus against the library's FFT, explicit sums, and itself backwards."""

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.errors import InputError
from certlip.linalg.torus import Torus, anchor

seeds = st.integers(0, 2**32 - 1)
tori = st.builds(Torus, st.integers(1, 7), st.integers(1, 7))
#: Odd, even, one row, one column, one pixel.
SIZES = [(1, 1), (1, 6), (5, 1), (2, 2), (3, 4), (4, 3), (5, 7), (8, 8)]
every_size = pytest.mark.parametrize("torus", [Torus(*size) for size in SIZES], ids=str)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
ROUNDING = {torch.float32: 2e-5, torch.float64: 1e-13}


def t(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def fft(x, torus):
    """The library's transform of (H, W, …), the first ⌊H/2⌋ + 1 rows of frequencies, (F, …)."""
    full = torch.fft.fft2(x, dim=(0, 1))[: torus.height // 2 + 1]
    return full.reshape(torus.frequencies, *x.shape[2:])


@every_size
@every_dtype
def test_the_transform_is_that_of_the_library(torus, dtype):
    x = t(torus.height, torus.width, 3, 2, dtype=dtype)
    computed = torus.transform(x)
    assert computed.dtype == dtype.to_complex()
    assert computed.shape == (torus.frequencies, 3, 2)
    assert (computed - fft(x, torus)).abs().max() <= ROUNDING[dtype] * torus.pixels


@every_size
def test_the_transform_is_its_definition(torus):
    """x̂(f) = Σ_p x[p] e^{−2πi f·p/N}, summed one by one."""
    H, W = torus.height, torus.width
    x = t(H, W, 1, 1)
    computed = torus.transform(x).reshape(H // 2 + 1, W)
    for f, g in np.ndindex(H // 2 + 1, W):
        exact = sum(
            x[p, q].item() * cmath.exp(-2j * math.pi * (f * p / H + g * q / W))
            for p, q in np.ndindex(H, W)
        )
        assert abs(computed[f, g].item() - exact) <= 1e-12 * torus.pixels


@every_size
@every_dtype
def test_back_and_forth_is_the_identity(torus, dtype):
    x = t(torus.height, torus.width, 2, 3, dtype=dtype)
    back = torus.inverse(torus.transform(x))
    assert back.dtype == dtype
    assert (back - x).abs().max() <= ROUNDING[dtype]


@every_size
@every_dtype
def test_the_inverse_is_that_of_the_library(torus, dtype):
    """For the half spectrum of a real image; the library is given all of it."""
    x = t(torus.height, torus.width, 2, 3, dtype=dtype)
    expected = torch.fft.ifft2(torch.fft.fft2(x, dim=(0, 1)), dim=(0, 1)).real
    assert (torus.inverse(fft(x, torus)) - expected).abs().max() <= ROUNDING[dtype]


@settings(max_examples=30)
@given(tori, seeds)
def test_what_no_real_image_has_is_left_out_by_the_inverse(torus, seed):
    """A half spectrum of any numbers gives the image of its nearest real part, a linear map."""
    shape = torus.frequencies, 1, 1
    a, b, c, d = (t(*shape, seed=seed + k) for k in range(4))
    a, b = torch.complex(a, b), torch.complex(c, d)
    torch.testing.assert_close(torus.inverse(a + b), torus.inverse(a) + torus.inverse(b))
    once = torus.transform(torus.inverse(a))
    torch.testing.assert_close(torus.transform(torus.inverse(once)), once)


@settings(max_examples=30)
@given(tori, st.integers(1, 3), st.integers(1, 3), seeds)
def test_flat_rows_and_pixels_are_two_layouts_of_the_same_numbers(torus, batch, channels, seed):
    x = t(batch, channels * torus.pixels, seed=seed)
    pixels = torus.to_pixels(x)
    assert pixels.shape == (torus.height, torus.width, batch, channels)
    assert torch.equal(torus.from_pixels(pixels), x)
    for b, c, p, q in np.ndindex(batch, channels, torus.height, torus.width):
        assert pixels[p, q, b, c] == x[b, (c * torus.height + p) * torus.width + q]


@st.composite
def kernels(draw, beyond=2):
    """A kernel and its torus; kernels may be larger than the torus by `beyond` taps."""
    torus = draw(tori)
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    taps = [draw(st.integers(1, n + beyond)) for n in (torus.height, torus.width)]
    return t(*shape, *taps, seed=draw(seeds)), torus


@settings(max_examples=40)
@given(kernels())
def test_the_spectrum_is_its_definition(case):
    """K̂(f) = Σ_t K[t] e^{2πi f·(t − a)/N} with the anchor a, also where taps wrap around."""
    K, torus = case
    H, W, (kh, kw) = torus.height, torus.width, K.shape[2:]
    computed = torus.spectrum(K).reshape(H // 2 + 1, W, *K.shape[:2])
    for f, g in np.ndindex(H // 2 + 1, W):
        exact = sum(
            K[:, :, s, r].numpy()
            * cmath.exp(2j * math.pi * (f * (s - anchor(kh)) / H + g * (r - anchor(kw)) / W))
            for s, r in np.ndindex(kh, kw)
        )
        np.testing.assert_allclose(computed[f, g].numpy(), exact, atol=1e-11)


@settings(max_examples=40)
@given(kernels())
def test_the_spectrum_is_the_conjugate_transform_of_the_shifted_kernel(case):
    """The library's way: the kernel put on the torus with its anchor at the origin."""
    K, torus = case
    image = K.new_zeros(*K.shape[:2], torus.height, torus.width)
    for s, r in np.ndindex(*K.shape[2:]):
        row, column = s - anchor(K.shape[2]), r - anchor(K.shape[3])
        image[:, :, row % torus.height, column % torus.width] += K[:, :, s, r]
    expected = fft(image.permute(2, 3, 0, 1), torus).conj()
    torch.testing.assert_close(torus.spectrum(K), expected.resolve_conj(), atol=1e-11, rtol=0.0)


@settings(max_examples=40)
@given(kernels())
def test_a_convolution_is_a_product_per_frequency(case):
    """ŷ(f) = K̂(f)x̂(f) for y[p] = Σ_t K[t]x[p + t − a], summed one by one."""
    K, torus = case
    H, W, (kh, kw) = torus.height, torus.width, K.shape[2:]
    x = t(H, W, 1, K.shape[1])
    y = x.new_zeros(H, W, 1, K.shape[0])
    for p, q, s, r in np.ndindex(H, W, kh, kw):
        y[p, q] += x[(p + s - anchor(kh)) % H, (q + r - anchor(kw)) % W] @ K[:, :, s, r].mT
    product = torus.transform(x) @ torus.spectrum(K).mT
    torch.testing.assert_close(torus.transform(y), product, atol=1e-10, rtol=0.0)


@every_size
@every_dtype
def test_the_kernel_of_the_spectrum_of_a_full_kernel_is_itself(torus, dtype):
    K = t(2, 3, torus.height, torus.width, dtype=dtype)
    back = torus.kernel(torus.spectrum(K))
    assert back.dtype == dtype
    assert (back - K).abs().max() <= ROUNDING[dtype]


@settings(max_examples=40)
@given(kernels(beyond=0))
def test_a_small_kernel_comes_back_inside_of_zeros(case):
    """Its taps around the anchor of the full kernel; taps that meet on a small torus are added."""
    K, torus = case
    full = torus.kernel(torus.spectrum(K))
    expected = torch.zeros_like(full)
    for s, r in np.ndindex(*K.shape[2:]):
        row = anchor(torus.height) + s - anchor(K.shape[2])
        column = anchor(torus.width) + r - anchor(K.shape[3])
        expected[:, :, row % torus.height, column % torus.width] += K[:, :, s, r]
    torch.testing.assert_close(full, expected, atol=1e-12, rtol=0.0)


@pytest.mark.parametrize("k", range(1, 9))
def test_the_anchor_is_the_middle_or_just_before_it(k):
    before, after = anchor(k), k - 1 - anchor(k)
    assert after - before == (k + 1) % 2


@pytest.mark.parametrize("size", [(3, 4), (4, 5), (1, 3), (2, 1)])
def test_gradients_through_the_spectrum_are_right(size):
    torus = Torus(*size)
    K = t(2, 2, min(2, size[0]), min(3, size[1])).requires_grad_()
    assert torch.autograd.gradcheck(torus.spectrum, (K,))
    half = torch.complex(t(torus.frequencies, 1, 2), t(torus.frequencies, 1, 2, seed=1))
    assert torch.autograd.gradcheck(torus.inverse, (half.requires_grad_(),))
    assert torch.autograd.gradcheck(torus.transform, (t(*size, 1, 2).requires_grad_(),))
    assert torch.autograd.gradcheck(lambda K: torus.kernel(torus.spectrum(K)), (K,))


@every_size
def test_every_frequency_or_its_mirror_image_is_in_the_half(torus):
    """Σ_f |x̂|² over all frequencies is HW·‖x‖²: those left out are conjugates of those kept."""
    x = t(torus.height, torus.width, 1, 1)
    H = torus.height
    squares = torus.transform(x).abs().square().reshape(H // 2 + 1, -1).sum(1)
    twice = [1.0 if 2 * f in (0, H) else 2.0 for f in range(H // 2 + 1)]
    total = squares @ torch.tensor(twice, dtype=torch.float64)
    assert total.item() == pytest.approx(torus.pixels * x.square().sum().item(), rel=1e-12)


@pytest.mark.parametrize("size", [(0, 3), (3, 0), (-1, 2)])
def test_a_torus_without_pixels_is_refused(size):
    with pytest.raises(InputError, match=f"image of {size[0]}×{size[1]} pixels: expected at least"):
        Torus(*size)
