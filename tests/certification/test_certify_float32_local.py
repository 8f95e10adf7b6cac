"""Bounds of single float32 evaluations: never exceeded, in any order of summation, and nearly attained."""

import numpy as np
import pytest
import torch
from certify_nets import affine, normalize, tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.blocks import (
    Activation,
    Convolution,
    ConvResidual,
    Equilibrium,
    GroupSort,
    Network,
    Pooling,
    Residual,
    Resize,
    Sigma,
    Window,
)
from certlip.blocks.activations import ELU, LeakyReLU, ReLU, Tanh
from certlip.certification.float32.arithmetic import ETA, U32, gamma32
from certlip.certification.float32.kinds import KINDS
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous.rounding import norm_up
from certlip.lmi import prove
from certlip.solvers import Evaluator

f32 = np.float32


def local_of(block):
    [proof] = prove(Network([block])).blocks
    return KINDS[type(block)](block, proof)


def share(block, x, y):
    """The error of the float32 output y (n, q) at x (n, d), as a share of what was allowed."""
    x = np.asarray(x, dtype=f32).astype(np.float64)
    exact = Evaluator(Network([block]))(torch.from_numpy(x)).numpy()
    error = np.linalg.norm(np.asarray(y, dtype=np.float64) - exact, axis=1)
    return float((error / local_of(block)(norm_up(x))).max())


def deployed(block, x):
    return Evaluator(Network([block]), dtype=torch.float32)(torch.tensor(x, dtype=torch.float32))


def in_turn(terms):
    """Their float32 sum from left to right."""
    total = f32(terms[0])
    for term in terms[1:]:
        total = f32(total + f32(term))
    return total


def lossy(p):
    """(1 + 2⁻¹², 2⁻¹², …): added to its first square, each other square is lost to rounding."""
    a = np.full(p, 2.0**-12)
    a[0] += 1.0
    return a


# --- dot products -------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, 4, 64, 1000])
def test_every_rounding_of_a_dot_product_is_counted_and_no_other(p):
    x, W = lossy(p), lossy(p)
    W[0] += U32  # the stored weight is rounded down, its product too, each sum, and the one with b
    block = affine(W[None], np.array([U32]))
    y = in_turn([*(W.astype(f32) * x.astype(f32)), f32(U32)])
    assert 0.99 < share(block, x[None], [[y]]) <= 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(-60, 60))
def test_products_in_any_order_stay_below_their_bound(seed, p, exponent):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((3, p)) * 2.0 ** rng.integers(-30, 30, (3, p))
    b = rng.standard_normal(3) * 2.0 ** rng.integers(-30, 30)
    x = (rng.standard_normal((1, p)) * 2.0**exponent).astype(f32)
    block = affine(W, b)
    terms = [[*row, c] for row, c in zip(W.astype(f32) * x, b.astype(f32), strict=True)]
    orders = [np.arange(p + 1), np.arange(p + 1)[::-1], *(rng.permutation(p + 1) for _ in range(3))]
    for order in orders:
        y = [in_turn([row[i] for i in order]) for row in terms]
        assert share(block, x, [y]) <= 1.0
    assert share(block, x, deployed(block, x).numpy()) <= 1.0


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_products_of_the_library_stay_below_their_bound(threads, rows):
    rng = np.random.default_rng(rows)
    # large entries that cancel: the outputs are all rounding
    W = rng.standard_normal((10, 500)) * 1e3
    x = rng.standard_normal((rows, 500))
    x -= (x @ np.linalg.pinv(W)) @ W
    block = affine(W, rng.standard_normal(10))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for order in (np.arange(500), rng.permutation(500)):
            own = affine(W[:, order], block.b.numpy())
            x32 = x[:, order].astype(f32)
            assert share(own, x32, deployed(own, x32).numpy()) <= 1.0
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("flush", [False, True])
def test_numbers_that_underflow_are_counted(flush):
    def small(v):
        """As a processor that flushes would see it."""
        return f32(0.0) if flush and abs(v) < ETA else f32(v)

    for w, x, b in [(1e-30, 1e-12, 0.0), (1e-40, 1e20, 0.0), (1e20, 1e-40, 0.0), (1.0, 1.0, 1e-40)]:
        product = small(small(w) * small(x))
        y = small(product + small(b))
        assert share(affine([[w]], [b]), [[x]], [[y]]) <= 1.0
    # a weight that is flushed loses all of its product
    lost = affine([[0.9 * ETA]])
    assert share(lost, [[1e30]], [[0.0]]) > 0.2


def test_the_bias_is_rounded_at_every_pixel():
    K, b = torch.full((1, 1, 1, 1), 2.0**-100).double(), tensor([1.0 + U32])
    block = Convolution(K, b, 4, 4, "zero")
    assert 0.3 < share(block, np.ones((1, 16)), deployed(block, np.ones((1, 16)))) <= 1.0


@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_convolutions_stay_below_their_bound(padding):
    rng = np.random.default_rng(0)
    block = Convolution(
        tensor(rng.standard_normal((4, 3, 3, 3))), tensor(rng.standard_normal(4)), 5, 4, padding
    )
    x = rng.standard_normal((50, 60))
    assert 1e-3 < share(block, x, deployed(block, x)) <= 1.0
    sll = ConvResidual(
        *(0.1 * block.K, tensor(np.full(4, 0.5)), block.b),
        *(Sigma.of(ReLU(), 80), 5, 4, padding),
    )
    assert 1e-3 < share(sll, x, deployed(sll, x)) <= 1.0


def test_dot_products_that_are_too_long_are_refused():
    assert gamma32(2**21) < 1 / 3
    with pytest.raises(InconclusiveError, match="terms"):
        gamma32(2**21 + 1)


def test_numbers_above_float32_give_no_bound():
    with pytest.raises(InconclusiveError, match="overflows in float32"):
        local_of(affine([[1e39]]))
    bound = local_of(affine([[1e30]]))
    assert np.isinf(bound(np.array([1e9, np.inf, np.nan]))).all()
    assert np.isfinite(bound(np.array([1e7])))
    # no entry of x is above float32, their sum is
    assert np.isinf(local_of(affine(np.ones((1, 4))))(np.array([3e38])))


# --- other blocks -------------------------------------------------------------------------------


def test_normalisation_rounds_four_times():
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(3000):
        mean, std = -rng.uniform(1.0, 2.0), rng.uniform(1.0, 2.0)
        block = type(normalize(1))(tensor([mean]), tensor([std]))
        x = rng.uniform(1.0, 2.0, (64, 1)).astype(f32)
        y = (x - f32(mean)) / f32(std)
        exact = (x.astype(np.float64) - mean) / std
        # one bound per block, without a proof per block: L = 1/std
        [proof] = prove(Network([block])).blocks
        allowed = KINDS[type(block)](block, proof)(norm_up(x.astype(np.float64)))
        worst = max(worst, float((np.abs(y - exact)[:, 0] / allowed).max()))
    assert 0.7 < worst <= 1.0


@pytest.mark.parametrize(
    ("kind", "least"), [(ReLU(), 0.0), (LeakyReLU(0.3), 0.2), (Tanh(), 0.01), (ELU(0.7), 0.01)]
)
def test_activations_stay_below_their_bound(kind, least):
    block = Activation(Sigma.of(kind, 1))
    rng = np.random.default_rng(0)
    x = -np.exp(rng.uniform(-80, 4, (20000, 1))).astype(f32)
    x[::2] *= -1
    assert least <= share(block, x, deployed(block, x).numpy()) <= 1.0


def test_both_roundings_of_a_leaky_relu_are_counted():
    worst = 0.0
    for slope in np.random.default_rng(0).uniform(0.99, 1.0, 300):
        block = Activation(Sigma.of(LeakyReLU(float(slope)), 1))
        x = -np.random.default_rng(1).uniform(1.0, 1.02, (500, 1)).astype(f32)
        worst = max(worst, share(block, x, deployed(block, x).numpy()))
    assert 0.7 < worst <= 1.0


@pytest.mark.parametrize(
    "block", [GroupSort(6, 3, 1), Resize(6, 8), Resize(6, 2), Window(1, 2, 3, 0, 0, 2, 2, 1, 1)]
)
def test_moving_numbers_costs_nothing_but_a_flush(block):
    x = np.random.default_rng(0).standard_normal((10, 6))
    assert share(block, x, deployed(block, x).numpy()) == 0.0
    assert float(local_of(block)(np.ones(1))[0]) < 1e-36
    tiny = np.full((1, 6), 0.9 * ETA)
    assert 0.05 < share(block, tiny, np.zeros((1, block.out_width))) <= 1.0


@pytest.mark.parametrize("window", [2, 3, 4])
def test_pooling_counts_its_sums(window):
    block = Pooling(2, window, 2 * window, window)
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 1.0, (2000, block.in_width)).astype(f32)
    assert 0.01 < share(block, x, deployed(block, x).numpy()) <= 1.0
    one = np.full((1, window, window), U32)
    one[0, 0, 0] = 1.0
    only = Pooling(1, window, window, window)
    y = f32(in_turn(one.ravel()) / f32(window))  # all but the first are lost
    assert 0.9 * (window**2 - 1) / (window * (window**2 + 1)) < share(
        only, one.reshape(1, -1), [[y]]
    )


# --- residual blocks ----------------------------------------------------------------------------


def residual(W, D, b=None, kind=None):
    k = W.shape[1]
    b = np.zeros(k) if b is None else b
    return Residual(tensor(W), tensor(D), tensor(b), Sigma.of(kind or ReLU(), k))


def run(block, x, *, off=0.0):
    """y of one float32 x, all sums from left to right, σ off by the relative error `off`."""
    W, D, b = (a.numpy().astype(f32) for a in (block.W, block.D, block.b))
    v = [in_turn([*(W[:, i] * x), b[i]]) for i in range(W.shape[1])]
    s = block.sigma.forward(torch.tensor(np.array(v, dtype=f32))).numpy()
    s = f32(s.astype(np.float64) * (1.0 + off))
    g = f32(2.0) * (s * D)
    return np.array([f32(x[i] - in_turn(W[i] * g)) for i in range(len(x))])


@pytest.mark.parametrize("k", [64, 512])
def test_the_product_back_to_the_output_is_counted(k):
    # σ(Wᵀx) = Wᵀ for x = 1, and all but the first term of W·2Dσ are lost
    block = residual(lossy(k)[None], np.full(k, 0.5))
    x = np.ones(1, dtype=f32)
    assert 0.8 < share(block, x[None], [run(block, x)]) <= 1.0


@pytest.mark.parametrize("d", [64, 512])
def test_the_product_into_the_states_is_counted_twice(d):
    block = residual(lossy(d)[:, None], np.array([0.999]))
    x = np.asarray(lossy(d), dtype=f32)
    assert 0.8 < share(block, x[None], [run(block, x)]) <= 1.0


def test_the_last_difference_is_rounded():
    # 2WDσ(Wᵀx) is just below half a unit of x
    block = residual(np.full((1, 1), 2.0**-13), np.array([0.999]))
    x = np.ones(1, dtype=f32)
    assert run(block, x) == x
    assert 0.45 < share(block, x[None], [run(block, x)]) <= 1.0


def test_the_error_of_sigma_is_counted():
    block = residual(np.ones((1, 1)), np.array([0.999]), kind=Tanh())
    for off in (0.99 * 2.0**-19, -0.99 * 2.0**-19):
        x = np.full(1, 2.0**-6, dtype=f32)
        assert 0.6 < share(block, x[None], [run(block, x, off=off)]) <= 1.0


def test_columns_of_different_size_cost_no_more():
    rng = np.random.default_rng(0)
    W, scale = rng.standard_normal((20, 8)), 2.0 ** np.arange(0, -24, -3)
    D = 0.999 / np.abs(W.T @ W).sum(axis=1)
    # the same function: of a ReLU factors come out
    even, uneven = residual(W, D), residual(W * scale, D / scale**2)
    x = np.random.default_rng(1).standard_normal((3, 20)).astype(f32)
    np.testing.assert_allclose(deployed(even, x), deployed(uneven, x), rtol=1e-4, atol=1e-6)
    ratio = local_of(uneven)(np.ones(1)) / local_of(even)(np.ones(1))
    assert 0.99 < ratio < 1.01


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.integers(-20, 20))
def test_residual_blocks_stay_below_their_bound(seed, d, k, exponent):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((d, k)) * 2.0 ** rng.integers(-4, 4, k)
    q = np.exp(rng.standard_normal(k))
    D = 0.999 / (np.abs(W.T @ W) * q / q[:, None]).sum(axis=1)
    kind = [ReLU(), LeakyReLU(0.3), Tanh(), ELU(0.5)][seed % 4]
    block = residual(W, D, rng.standard_normal(k) * 2.0**exponent, kind)
    x = (rng.standard_normal((4, d)) * 2.0**exponent).astype(f32)
    assert share(block, x, [run(block, row) for row in x]) <= 1.0
    assert share(block, x, deployed(block, x).numpy()) <= 1.0


# --- triangular equilibria ----------------------------------------------------------------------


def equilibrium(W, U, G):
    W, U, G = map(tensor, (W, U, G))
    return Equilibrium(W, U, G, tensor(W[0] * 0), tensor(G[:, 0] * 0), Sigma.of(ReLU(), len(W)))


@pytest.mark.parametrize("p", [64, 512])
def test_the_product_into_the_states_of_an_equilibrium_is_counted(p):
    block = equilibrium(np.zeros((1, 1)), lossy(p)[None], np.ones((1, 1)))
    x = lossy(p).astype(f32)
    assert 0.8 < share(block, x[None], [[in_turn(x * x)]]) <= 1.0


@pytest.mark.parametrize("n", [64, 200])
def test_the_product_out_of_the_states_is_counted(n):
    block = equilibrium(np.zeros((n, n)), lossy(n)[:, None], lossy(n)[None])
    y = in_turn(lossy(n).astype(f32) ** 2)
    assert 0.3 < share(block, np.ones((1, 1)), [[y]]) <= 1.0


@pytest.mark.parametrize("m", [64, 200])
def test_the_products_between_states_are_counted(m):
    W, U, G = np.zeros((m + 1, m + 1)), np.zeros((m + 1, 1)), np.zeros((1, m + 1))
    W[m, :m], U[:m, 0], G[0, m] = lossy(m), lossy(m), 1.0
    y = in_turn(lossy(m).astype(f32) ** 2)
    assert 0.03 < share(equilibrium(W, U, G), np.ones((1, 1)), [[y]]) <= 1.0


def test_the_output_bias_of_an_equilibrium_is_counted():
    tiny = tensor([[2.0**-100]])
    z = tensor([0.0])
    block = Equilibrium(0 * tiny, tiny, tiny, z, tensor([1.0 + U32]), Sigma.of(ReLU(), 1))
    assert 0.2 < share(block, np.ones((1, 1)), [[1.0]]) <= 1.0
