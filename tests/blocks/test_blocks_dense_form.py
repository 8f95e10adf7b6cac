"""The dense form of each image block against loops over pixels, and against the operators."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.blocks import (
    Activation,
    Affine,
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    Equilibrium,
    GroupSort,
    Network,
    Normalize,
    Origin,
    Pooling,
    Residual,
    Resize,
    Sigma,
    dense_form,
)
from certlip.blocks.activations import activation
from certlip.blocks.dense_form import WIDEST, kernel_matrix
from certlip.errors import UnsupportedError
from certlip.linalg.operators import Circulant, Stencil
from certlip.linalg.torus import Torus

RELU, TANH = activation("relu"), activation("tanh")
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 4), st.integers(1, 5))
paddings = st.sampled_from(["circular", "zero"])


def t(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@st.composite
def kernels(draw):
    """A kernel, its image, and a padding."""
    height, width = draw(sizes)
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    taps = draw(st.integers(1, height)), draw(st.integers(1, width))
    return t(*shape, *taps, seed=draw(seeds)), Torus(height, width), draw(paddings)


def loops(K, torus, padding, x):
    """y[p] = Σ_t K[t]x[p + t − a] for one flat x, as the docstring of the blocks says it."""
    o, i, kh, kw = K.shape
    H, W = torus.height, torus.width
    image, y = x.reshape(i, H, W), np.zeros((o, H, W))
    for c, r, s in np.ndindex(o, H, W):
        for d, m, n in np.ndindex(i, kh, kw):
            row, column = r + m - (kh - 1) // 2, s + n - (kw - 1) // 2
            if padding == "zero" and not (0 <= row < H and 0 <= column < W):
                continue
            y[c, r, s] += K[c, d, m, n] * image[d, row % H, column % W]
    return y.reshape(-1)


@settings(max_examples=40)
@given(kernels(), seeds)
def test_the_matrix_of_a_kernel_is_what_the_loops_compute(case, seed):
    K, torus, padding = case
    matrix = kernel_matrix(K, torus, padding)
    columns = [loops(K.numpy(), torus, padding, e) for e in np.eye(matrix.shape[1])]
    assert np.array_equal(matrix.numpy(), np.stack(columns, axis=1))  # stored numbers, exactly


@settings(max_examples=40)
@given(kernels(), seeds)
def test_the_matrix_of_a_kernel_is_that_of_its_operators(case, seed):
    K, torus, padding = case
    matrix = kernel_matrix(K, torus, padding)
    x, y = t(2, matrix.shape[1], seed=seed), t(2, matrix.shape[0], seed=seed + 1)
    operators = [Stencil(K, torus, padding)]
    operators += [Circulant.of(K, torus)] if padding == "circular" else []
    for operator in operators:
        torch.testing.assert_close(operator.apply(x), x @ matrix.mT)
        torch.testing.assert_close(operator.adjoint(y), y @ matrix)


@settings(max_examples=20)
@given(kernels(), seeds)
def test_every_entry_is_zero_or_a_stored_number(case, seed):
    K, torus, padding = case
    assert set(kernel_matrix(K, torus, padding).ravel().tolist()) <= {0.0, *K.ravel().tolist()}


def test_a_convolution_becomes_an_affine_block():
    block = Convolution(t(3, 2, 2, 3), t(3), 3, 4, "zero")
    (dense,) = dense_form(block)
    assert isinstance(dense, Affine)
    x = t(24, seed=1)
    expected = loops(block.K.numpy(), block.torus, "zero", x.numpy()).reshape(3, 12)
    expected += block.b.numpy()[:, None]
    np.testing.assert_allclose((dense.W @ x + dense.b).numpy(), expected.reshape(-1), atol=1e-13)


@pytest.mark.parametrize("padding", ["circular", "zero"])
def test_a_residual_block_keeps_its_two_factors(padding):
    """y = x − 2Kᵀ ∗ (D σ(K ∗ x + b)), with the adjoint taken by the transposed convolution of torch."""
    sigma = Sigma(((TANH, 12), (RELU, 24)))
    block = ConvResidual(t(3, 2, 2, 3), t(3).abs(), t(3), sigma, 3, 4, padding)
    (dense,) = dense_form(block)
    assert isinstance(dense, Residual)
    assert dense.sigma == sigma
    assert dense.D.tolist() == [d for d in block.D.tolist() for _ in range(12)]
    x = t(24, seed=1)
    v = loops(block.K.numpy(), block.torus, padding, x.numpy()).reshape(3, 12)
    v = torch.from_numpy(v) + block.b[:, None]
    s = (block.D[:, None] * sigma.forward(v.reshape(-1)).reshape(3, 12)).reshape(1, 3, 3, 4)
    back = torch.conv_transpose2d(s, block.K)[
        0
    ]  # (2, 4, 6): the image and one more row, two columns
    cut = back[:, 0:3, 1:5].clone()  # the anchor of a 2×3 kernel is (0, 1)
    if padding == "circular":
        wide = torch.zeros(2, 3, 4, dtype=torch.float64)
        for r, c in np.ndindex(4, 6):
            wide[:, r % 3, (c - 1) % 4] += back[:, r, c]
        cut = wide
    expected = x - 2.0 * cut.reshape(-1)
    computed = x - 2.0 * dense.W @ (dense.D * sigma.forward(dense.W.mT @ x + dense.b))
    torch.testing.assert_close(computed, expected)


def conv_equilibrium(origin=None):
    sigma = Sigma(((activation("identity"), 12), (RELU, 24)))
    kernels = 0.1 * t(3, 3, 2, 3), t(3, 2, 1, 2), t(4, 3, 3, 1)
    return ConvEquilibrium(*kernels, t(3), t(4), sigma, 3, 4, origin)


def test_an_equilibrium_block_has_the_same_equilibria():
    block = conv_equilibrium()
    (dense,) = dense_form(block)
    assert isinstance(dense, Equilibrium)
    assert (dense.in_width, dense.n, dense.out_width) == (24, 36, 48)
    x, z = t(24, seed=1).numpy(), np.zeros(36)

    def around(K, v):
        return loops(K.numpy(), block.torus, "circular", v)

    for _ in range(200):  # ‖W‖ < 1 here: plain iteration converges
        v = around(block.W, z) + around(block.U, x) + np.repeat(block.b_z.numpy(), 12)
        z = block.sigma.forward(torch.from_numpy(v)).numpy()
    y = around(block.G, z) + np.repeat(block.b_y.numpy(), 12)
    z_dense = torch.from_numpy(z)
    again = dense.sigma.forward(dense.W @ z_dense + dense.U @ torch.from_numpy(x) + dense.b_z)
    np.testing.assert_allclose(again.numpy(), z, atol=1e-12)
    np.testing.assert_allclose((dense.G @ again + dense.b_y).numpy(), y, atol=1e-12)


def test_multipliers_of_an_origin_hold_for_each_pixel():
    origin = Origin("lben", {"lip": 2.0}, {"psi": torch.tensor([1.0, 2.0, 3.0]).double()})
    (dense,) = dense_form(conv_equilibrium(origin))
    assert (dense.origin.family, dense.origin.scalars) == ("lben", {"lip": 2.0})
    assert dense.origin.vectors["psi"].tolist() == [1.0] * 12 + [2.0] * 12 + [3.0] * 12
    assert dense_form(conv_equilibrium())[0].origin is None


def apply(blocks, x):
    for block in blocks:
        if isinstance(block, Affine):
            x = block.W @ x + block.b
        else:
            x = (x - block.mean) / block.std
    return x


@pytest.mark.parametrize("shape", [(2, 4, 6, 2), (1, 4, 4, 4), (3, 3, 6, 3), (2, 2, 3, 1)])
def test_pooling_sums_each_window(shape):
    block, (C, H, W, k) = Pooling(*shape), shape
    x = t(C * H * W)
    expected = [
        sum(x[c * H * W + r * W + s] for r in range(i, i + k) for s in range(j, j + k)) / k
        for c in range(C)
        for i in range(0, H, k)
        for j in range(0, W, k)
    ]
    dense = dense_form(block)
    torch.testing.assert_close(apply(dense, x), torch.stack(expected))
    linear = product(dense)
    torch.testing.assert_close(linear @ linear.mT, torch.eye(block.out_width).double())


def product(blocks):
    linear = torch.eye(blocks[0].in_width, dtype=torch.float64)
    for block in blocks:
        linear = block.W @ linear if isinstance(block, Affine) else linear / block.std[:, None]
    return linear


def test_pooling_by_three_stores_no_rounded_third():
    """1/3 is no double, so the division is left to a second block."""
    sums, division = dense_form(Pooling(2, 3, 6, 3))
    assert set(sums.W.ravel().tolist()) == {0.0, 1.0}
    assert isinstance(division, Normalize)
    assert (division.mean.tolist(), division.std.tolist()) == ([0.0] * 4, [3.0] * 4)
    (halves,) = dense_form(Pooling(2, 4, 6, 2))
    assert set(halves.W.ravel().tolist()) == {0.0, 0.5}


@pytest.mark.parametrize(("d", "q"), [(5, 3), (3, 5), (4, 4)])
def test_resize_keeps_the_first_coordinates(d, q):
    x = t(d)
    (dense,) = dense_form(Resize(d, q))
    assert apply([dense], x).tolist() == [*x.tolist(), *[0.0] * q][:q]


def test_dense_blocks_are_their_own_form():
    sigma = Sigma.of(RELU, 2)
    for block in (
        Affine(t(2, 3), t(2)),
        Activation(sigma),
        Normalize(t(2), t(2).abs() + 1),
        Residual(t(2, 2), t(2).abs(), t(2), sigma),
        Equilibrium(t(2, 2), t(2, 3), t(1, 2), t(2), t(1), sigma),
    ):
        assert dense_form(block) == [block]


def test_sorting_has_no_dense_form():
    with pytest.raises(UnsupportedError, match="sorting is not elementwise and has no dense"):
        dense_form(GroupSort(4, 2, 1))


side = 65  # 65² > 4096
WIDE: dict[str, Callable] = {
    "convolution": lambda: Convolution(t(1, 1, 1, 1), t(1), side, side, "zero"),
    "conv-residual": lambda: ConvResidual(
        t(side, 1, 1, 1), t(side).abs(), t(side), Sigma.of(RELU, side * 64), 8, 8, "zero"
    ),
    "conv-equilibrium": lambda: ConvEquilibrium(
        *(t(side, side, 1, 1), t(side, 1, 1, 1), t(1, side, 1, 1), t(side), t(1)),
        *(Sigma.of(RELU, side * 64), 8, 8),
    ),
    "pooling": lambda: Pooling(side, 8, 8, 8),
    "resize": lambda: Resize(3, 10**30),
}


@pytest.mark.parametrize("kind", WIDE)
def test_a_space_that_is_too_wide_is_refused_before_anything_is_allocated(kind):
    block = WIDE[kind]()
    assert block.kind == kind
    match = rf"{kind} block with \d+ coordinates: its dense form is limited to {WIDEST}"
    with pytest.raises(UnsupportedError, match=match):
        dense_form(block)


def test_a_network_of_image_blocks_becomes_a_dense_network():
    blocks = [
        Convolution(t(2, 1, 2, 2), t(2), 4, 4, "zero"),
        Pooling(2, 4, 4, 2),
        Resize(8, 12),
        ConvResidual(t(2, 3, 1, 1), t(2).abs(), t(2), Sigma.of(RELU, 8), 2, 2, "circular"),
    ]
    dense = Network([part for block in blocks for part in dense_form(block)])
    assert [block.kind for block in dense.blocks] == ["affine", "affine", "affine", "residual"]
    assert (dense.in_width, dense.classes) == (16, 12)
