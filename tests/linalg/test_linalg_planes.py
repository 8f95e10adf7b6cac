"""Planes against the complex transform of the torus, and their products and norms against pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.linalg.planes import planes_of
from certlip.linalg.torus import Torus

CPU = torch.device("cpu")
seeds = st.integers(0, 2**32 - 1)
tori = st.builds(Torus, st.integers(1, 9), st.integers(1, 9))
ROUNDING = {torch.float32: 1e-4, torch.float64: 1e-11}


def t(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def expected(torus, x):
    """Real and imaginary parts of the transform of pixels (H, W, m), in the order of the planes."""
    spectrum = torus.transform(x[:, :, None])[:, 0][planes_of(torus, x.dtype, CPU).order]
    return torch.stack([spectrum.real, spectrum.imag], dim=1)


@settings(max_examples=60)
@given(tori, seeds, st.integers(0, 5), st.sampled_from([torch.float32, torch.float64]))
def test_planes_are_the_parts_of_the_spectrum_and_go_back(torus, seed, m, dtype):
    planes = planes_of(torus, dtype, CPU)
    x = t(torus.height, torus.width, m, seed=seed, dtype=dtype)
    spectrum = planes.transform(x)
    assert spectrum.dtype == dtype
    assert sorted(planes.order.tolist()) == list(range(torus.frequencies))
    torch.testing.assert_close(spectrum, expected(torus, x), rtol=0, atol=ROUNDING[dtype])
    torch.testing.assert_close(planes.inverse(spectrum), x, rtol=0, atol=ROUNDING[dtype])


@settings(max_examples=40)
@given(tori, seeds)
def test_the_inverse_leaves_out_what_no_real_image_has_as_the_torus_does(torus, seed):
    planes = planes_of(torus, torch.float64, CPU)
    x = t(torus.frequencies, 2, 3, seed=seed)
    whole = torch.empty(torus.frequencies, 1, 3, dtype=torch.complex128)
    whole[planes.order, 0] = torch.complex(x[:, 0], x[:, 1])
    torch.testing.assert_close(planes.inverse(x), torus.inverse(whole)[:, :, 0])


@settings(max_examples=40)
@given(tori, seeds)
def test_dot_is_that_of_the_pixels(torus, seed):
    planes = planes_of(torus, torch.float64, CPU)
    x, y = (t(torus.height, torus.width, 2, 3, seed=seed + k) for k in range(2))
    X, Y = (planes.transform(v.flatten(2)).unflatten(2, (2, 3)) for v in (x, y))
    torch.testing.assert_close(planes.dot(X, Y), (x * y).sum(dim=(0, 1, 2)))


@pytest.mark.parametrize("size", [(4, 6), (3, 5), (5, 4), (32, 32)])
def test_real_blocks_multiply_as_complex_ones(size):
    torus = Torus(*size)
    planes = planes_of(torus, torch.float64, CPU)
    K = torus.spectrum(t(3, 2, 3, 3))
    x = t(*size, 2, 5, seed=1)
    X = planes.transform(x.flatten(2)).view(torus.frequencies, 4, 5)
    computed = (planes.of_blocks(K) @ X).view(torus.frequencies, 2, 15)
    product = torus.inverse(torus.transform(x.mT.contiguous()) @ K.mT).mT
    torch.testing.assert_close(planes.inverse(computed), product.flatten(2), rtol=0, atol=1e-11)
