"""Bounds of rounding errors that are known before any input, attacked with coarser arithmetic.

With u = 2⁻²⁴ in place of 2⁻⁵³ the same bounds must hold for float32, where real errors are large
enough to be seen: sums one after the other, numbers of one sign, and scales far apart.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.blocks import Sigma
from certlip.blocks.activations import Identity, LeakyReLU, ReLU
from certlip.certification.enclosure import apriori
from certlip.certification.enclosure.apriori import Sizes, residual_sizes, size_of

u = 2.0**-24
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture
def coarse(monkeypatch):
    """The a-priori bounds of float32."""
    monkeypatch.setattr(apriori, "U", u)
    monkeypatch.setattr(apriori, "gamma", lambda k: k * u / (1.0 - k * u))


def in_turn(terms):
    """The float32 sum of the last axis, from its first entry to its last."""
    total = terms[..., 0].astype(np.float32)
    for k in range(1, terms.shape[-1]):
        total = total + terms[..., k]
    return total


def product(A, x, b=None):
    """Ax + b in float32, summed one after the other."""
    terms = A[None] * x[:, None, :]
    if b is not None:
        terms = np.concatenate([terms, np.broadcast_to(b, terms.shape[:2])[..., None]], axis=2)
    return in_turn(terms)


def numbers(rng, *shape, positive):
    x = rng.standard_normal(shape) * 10.0 ** rng.integers(-2, 3, shape[-1])
    return (np.abs(x) if positive else x).astype(np.float32)


def residual(A, D, b, sigma, x, sums):
    s = sigma.forward(torch.from_numpy(sums(A, x, b))).numpy()
    return x - sums(np.ascontiguousarray(A.T), s * (2 * D))


@settings(max_examples=60)
@given(
    seed=seeds, positive=st.booleans(), kind=st.sampled_from([Identity(), ReLU(), LeakyReLU(0.5)])
)
def test_residual_blocks_in_float32_stay_within_their_bound(seed, positive, kind):
    rng = np.random.default_rng(seed)
    k, d = rng.integers(1, 40, 2)
    A, b = numbers(rng, k, d, positive=positive), numbers(rng, k, positive=positive)
    D = (10.0 ** rng.uniform(-6, 3, k) * rng.integers(0, 2, k)).astype(np.float32)
    x, sigma = numbers(rng, 5, d, positive=positive), Sigma.of(kind, int(k))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apriori, "U", u)
        patch.setattr(apriori, "gamma", lambda k: k * u / (1.0 - k * u))
        wide = [a.astype(np.float64) for a in (A, D, b)]
        sizes = residual_sizes(np.abs(wide[0]), *wide[1:], sigma, (int(d), int(k)))
    exact = residual(
        *wide, sigma, x.astype(np.float64), lambda A, x, b=0.0: x @ A.T + (0 if b is None else b)
    )
    gap = np.linalg.norm(residual(A, D, b, sigma, x, product) - exact, axis=1)
    assert (gap <= sizes.bound(np.linalg.norm(x.astype(np.float64), axis=1))).all()


def test_the_bound_of_a_long_sum_is_not_far_from_what_happens(coarse):
    # 1 + u/2-ish terms one after the other, every sum rounded the same way
    A = np.full((1, 4096), np.float32(1.0) + np.float32(2.0**-23), dtype=np.float32)
    x = np.full((1, 4096), np.float32(1.0) + np.float32(2.0**-22), dtype=np.float32)
    exact = x.astype(np.float64) @ A.T.astype(np.float64)
    bound = (
        Sizes.exact()
        .product(size_of(A.astype(np.float64)), 4096)
        .bound(np.linalg.norm(x.astype(np.float64), axis=1))
    )
    gap = np.abs(product(A, x) - exact)[:, 0]
    assert 0.0 < gap[0] <= bound[0] <= 1e4 * gap[0]


@pytest.mark.parametrize("norm", [1.0, 3.0])
def test_each_operation_adds_what_it_rounds(norm, coarse):
    one = Sizes.exact()
    x = np.array([2.0])
    assert one.bound(x) == 0.0
    assert one.product(norm, 4, 1.0).bound(x) == pytest.approx(5 * u * (2 * norm + 1), rel=1e-4)
    assert one.rounded(norm).bound(x) == pytest.approx(u * 2 * norm, rel=1e-4)
    assert one.minus(one.rounded(norm)).bound(x) == pytest.approx(
        u * 2 * norm + u * (2 + 2 * norm), rel=1e-4
    )
    twice = one.product(norm, 1).product(norm, 1)
    assert twice.bound(x) == pytest.approx(2 * (2 * u) * 2 * norm**2, rel=1e-4)


def test_numbers_that_could_overflow_on_the_way_have_no_bound():
    sizes = Sizes.exact().product(1e200, 10)
    assert np.isfinite(sizes.bound(np.array([1e50])))
    # the result would fit a double again, what is in between would not
    back = sizes.product(1e-200, 10)
    assert np.isinf(back.bound(np.array([1e120, np.inf, np.nan]))).all()
    assert np.isinf(Sizes.exact().minus(sizes).bound(np.array([1e120])))


@settings(max_examples=50)
@given(seed=seeds)
def test_the_size_of_a_matrix_bounds_the_norm_of_its_absolute_values(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal(rng.integers(1, 30, 2)) * 10.0 ** rng.integers(-5, 5)
    true = np.linalg.norm(np.abs(A), 2)
    assert true <= size_of(A) * (1 + 1e-12)
    assert size_of(A) <= np.sqrt(min(A.shape)) * true * (1 + 1e-9)


def test_a_constant_counts_at_every_pixel():
    A, D, sigma = np.full((2, 1), 0.1), np.full(2, 0.5), Sigma.of(Identity(), 2)
    b = np.array([1e3, 2e3])
    one, many = (
        residual_sizes(A, D, np.repeat(b, pixels), sigma, (1, 2)).bound(np.zeros(1))[0]
        for pixels in (1, 100)
    )
    assert many == pytest.approx(10.0 * one, rel=1e-6)
