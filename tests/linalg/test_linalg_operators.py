"""Operators of each structure against the dense matrix of what they do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.linalg.operators import (
    DIRECT_TAPS,
    BlockLower,
    Circulant,
    Dense,
    Operator,
    Stencil,
    as_operator,
    convolution,
)
from certlip.linalg.operators.stencil import correlate, correlate_adjoint
from certlip.linalg.torus import Torus

seeds = st.integers(0, 2**32 - 1)
EXACT = {"atol": 1e-11, "rtol": 0.0}
ROUNDING = {torch.float32: 1e-4, torch.float64: 1e-12}


def t(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def convolution_matrix(K, torus, padding="circular"):
    """The matrix of y[p] = Σ_t K[t]x[p + t − a], tap by tap."""
    o, i, kh, kw = K.shape
    H, W = torus.height, torus.width
    A = np.zeros((o, H, W, i, H, W))
    for p, q, s, r in np.ndindex(H, W, kh, kw):
        row, column = p + s - (kh - 1) // 2, q + r - (kw - 1) // 2
        if padding == "circular" or (0 <= row < H and 0 <= column < W):
            A[:, p, q, :, row % H, column % W] += K[:, :, s, r].double().numpy()
    return torch.from_numpy(A.reshape(o * H * W, i * H * W))


@st.composite
def kernels(draw, square=False):
    torus = Torus(draw(st.integers(1, 4)), draw(st.integers(1, 5)))
    o = draw(st.integers(1, 3))
    i = o if square else draw(st.integers(1, 3))
    taps = [draw(st.integers(1, n)) for n in (torus.height, torus.width)]
    return t(o, i, *taps, seed=draw(seeds)), torus


FORMS = {
    "dense": lambda K, torus: Dense(convolution_matrix(K, torus)),
    "stencil": Stencil,
    "circulant": Circulant.of,
    "zero": lambda K, torus: Stencil(K, torus, "zero"),
}
every_form = pytest.mark.parametrize("form", FORMS)
with_blocks = pytest.mark.parametrize("form", [form for form in FORMS if form != "zero"])


def matrix_of(operator):
    return operator.apply(torch.eye(operator.in_width, dtype=operator.dtype)).mT


@every_form
@settings(max_examples=30)
@given(case=kernels())
def test_every_form_is_the_same_matrix(form, case):
    K, torus = case
    A = FORMS[form](K, torus)
    expected = convolution_matrix(K, torus, "zero" if form == "zero" else "circular")
    torch.testing.assert_close(matrix_of(A), expected, **EXACT)
    torch.testing.assert_close(A.adjoint(torch.eye(A.out_width).double()).mT, expected.mT, **EXACT)


@every_form
@settings(max_examples=30)
@given(case=kernels(), seed=seeds)
def test_the_adjoint_is_the_one_of_the_inner_product(form, case, seed):
    """⟨Ax, y⟩ = ⟨x, Aᵀy⟩ row by row."""
    A = FORMS[form](*case)
    x, y = t(3, A.in_width, seed=seed), t(3, A.out_width, seed=seed + 1)
    torch.testing.assert_close(
        (A.apply(x) * y).sum(dim=1), (x * A.adjoint(y)).sum(dim=1), atol=1e-10, rtol=1e-10
    )


@every_form
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_shape_and_device_are_told_and_kept(form, dtype):
    K, torus = t(3, 2, 2, 3, dtype=dtype), Torus(4, 5)
    A = FORMS[form](K, torus)
    if form == "dense":
        A = Dense(A.A.to(dtype))
    assert (A.dtype, A.device.type) == (dtype, "cpu")
    assert (A.in_width, A.out_width) == (40, 60)
    assert (A.repeat, A.units) == ((1, 60) if form == "dense" else (20, 3))
    x = t(2, 40, dtype=dtype)
    y = A.apply(x)
    assert y.dtype == A.adjoint(y).dtype == dtype
    assert (y.shape, A.adjoint(y).shape) == ((2, 60), (2, 40))
    expected = x.double() @ convolution_matrix(K, torus, getattr(A, "padding", "circular")).mT
    assert (y.double() - expected).abs().max() <= ROUNDING[dtype]


@with_blocks
@settings(max_examples=30)
@given(case=kernels())
def test_the_blocks_have_the_singular_values_of_the_matrix(form, case):
    """Blocks that were left out are conjugates of blocks that are there: count those twice."""
    K, torus = case
    A = FORMS[form](K, torus)
    values = torch.linalg.svdvals(A.blocks())
    if form != "dense":
        values = values[both_halves(torus)]
    found = values.ravel().sort().values
    expected = torch.linalg.svdvals(convolution_matrix(K, torus)).sort().values
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-7)


@with_blocks
@settings(max_examples=20)
@given(case=kernels(square=True))
def test_the_blocks_have_the_eigenvalues_of_the_matrix(form, case):
    """As power sums Σλ^k = tr A^k, which do not depend on how eigenvalues are ordered or repeated."""
    K, torus = case
    blocks, A = FORMS[form](K, torus).blocks(), convolution_matrix(K, torus)
    power, whole = blocks, A
    for _ in range(4):
        traces = power.diagonal(dim1=1, dim2=2).sum(1)
        total = traces.sum() if form == "dense" else traces[both_halves(torus)].real.sum()
        torch.testing.assert_close(total, whole.trace(), atol=1e-8, rtol=1e-10)
        power, whole = power @ blocks, whole @ A


def both_halves(torus):
    """For each of all frequencies the one in the half that has its real parts and absolute values."""
    H, W = torus.height, torus.width
    at = []
    for f, g in np.ndindex(H, W):
        kept = (f, g) if f <= H // 2 else (H - f, -g % W)
        at.append(kept[0] * W + kept[1])
    return torch.tensor(at)


def monotone(K, torus):
    """A square kernel, scaled so that the resolvent exists for every step."""
    return 0.9 * K / torch.linalg.matrix_norm(convolution_matrix(K, torus), 2)


@with_blocks
@settings(max_examples=25)
@given(case=kernels(square=True), alpha=st.floats(0.01, 10.0), seed=seeds)
def test_the_resolvent_is_the_inverse(form, case, alpha, seed):
    K, torus = monotone(*case), case[1]
    A = FORMS[form](K, torus)
    V = A.resolvent(alpha)
    eye = torch.eye(A.in_width, dtype=torch.float64)
    expected = torch.linalg.inv(eye + alpha * (eye - convolution_matrix(K, torus)))
    torch.testing.assert_close(matrix_of(V), expected, **EXACT)
    x = t(2, A.in_width, seed=seed)
    torch.testing.assert_close(V.adjoint(x), x @ expected, **EXACT)


@with_blocks
@settings(max_examples=25)
@given(case=kernels(square=True), seed=seeds)
def test_the_resolvent_takes_a_step_per_unit(form, case, seed):
    """I + diag(α)(I − A) with α per channel, each of its pixels alike: rows, not columns, are scaled."""
    K, torus = monotone(*case), case[1]
    A = FORMS[form](K, torus)
    alpha = torch.from_numpy(np.random.default_rng(seed).uniform(0.05, 1.0, A.units))
    eye = torch.eye(A.in_width, dtype=torch.float64)
    scaled = A.spread(alpha)[:, None] * (eye - convolution_matrix(K, torus))
    expected = torch.linalg.inv(eye + scaled)
    torch.testing.assert_close(matrix_of(A.resolvent(alpha)), expected, **EXACT)


@with_blocks
def test_a_step_of_one_per_unit_is_the_number(form):
    torus = Torus(3, 4)
    A = FORMS[form](monotone(t(2, 2, 2, 2), torus), torus)
    ones = torch.full((A.units,), 0.7, dtype=torch.float64)
    assert torch.equal(A.resolvent(ones).blocks(), A.resolvent(0.7).blocks())


@with_blocks
def test_a_resolvent_that_does_not_exist_is_an_error(form):
    """A = 2I: I + α(I − A) = 0 at α = 1."""
    A = FORMS[form](2.0 * torch.eye(2).double()[:, :, None, None], Torus(2, 3))
    with pytest.raises(RuntimeError, match="singular"):
        A.resolvent(1.0)


@with_blocks
@settings(max_examples=20)
@given(case=kernels(square=True), scale=st.floats(-2.0, 2.0))
def test_blocks_go_back_to_an_operator(form, case, scale):
    A = FORMS[form](*case)
    again = A.from_blocks(scale * A.blocks())
    torch.testing.assert_close(matrix_of(again), scale * matrix_of(A), **EXACT)
    assert (again.repeat, again.units) == (A.repeat, A.units)


def test_values_per_unit_are_spread_over_pixels():
    per_unit = torch.tensor([1.0, 2.0])
    channels = Stencil(t(2, 2, 1, 1), Torus(1, 3))
    assert channels.spread(per_unit).tolist() == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    assert torch.equal(Dense(t(2, 2)).spread(per_unit), per_unit)


@with_blocks
def test_the_pattern_is_zero_exactly_where_no_unit_reads(form):
    torus = Torus(3, 4)
    K = t(3, 3, 2, 2)
    K[0, 1] = K[2, :2] = 0.0
    K[1, 1, 0, 0], K[1, 1, 0, 1], K[1, 1, 1] = 1.0, -1.0, 0.0  # sums to zero at one frequency
    A = FORMS[form](K, torus)
    expected = matrix_of(A).abs() if form == "dense" else K.abs().amax(dim=(2, 3))
    assert torch.equal(A.pattern() == 0.0, expected == 0.0)


@every_form
def test_a_detached_operator_has_the_numbers_and_no_graph(form):
    K, torus = t(2, 2, 2, 2).requires_grad_(), Torus(3, 3)
    A = Dense(t(3, 3).requires_grad_()) if form == "dense" else FORMS[form](K, torus)
    plain = A.detach()
    assert type(plain) is type(A)
    x = t(1, A.in_width)
    assert A.apply(x).requires_grad
    assert not plain.apply(x).requires_grad
    assert torch.equal(plain.apply(x), A.apply(x))
    assert getattr(plain, "padding", None) == getattr(A, "padding", None)


@every_form
def test_gradients_through_an_operator_are_right(form):
    torus = Torus(3, 2)

    def form_of(K):
        return Dense(K[:, :, 0, 0]) if form == "dense" else FORMS[form](K, torus)

    K = 0.2 * t(2, 2, 2, 2)
    x = t(2, form_of(K).in_width)
    leaves = (K.requires_grad_(), x.requires_grad_())
    assert torch.autograd.gradcheck(lambda K, x: form_of(K).apply(x), leaves)
    assert torch.autograd.gradcheck(lambda K, x: form_of(K).adjoint(x), leaves)
    if form != "zero":
        assert torch.autograd.gradcheck(lambda K, x: form_of(K).resolvent(0.5).apply(x), leaves)


def test_zero_padding_has_no_blocks():
    with pytest.raises(ValueError, match="zero padding has no blocks"):
        Stencil(t(1, 1, 2, 2), Torus(3, 3), "zero").blocks()


@pytest.mark.parametrize("padding", ["circular", "zero"])
@pytest.mark.parametrize("taps", [(1, 1), (1, 4), (2, 2), (3, 3), (4, 1), (4, 5)])
def test_correlation_and_its_adjoint_are_exact_on_whole_numbers(taps, padding):
    """Small whole numbers: every sum is exact, so the matrix must be met to the last bit."""
    torus, rng = Torus(4, 5), np.random.default_rng(0)
    K = torch.from_numpy(rng.integers(-9, 9, (3, 2, *taps))).double()
    x = torch.from_numpy(rng.integers(-9, 9, (2, 2, 4, 5))).double()
    y = torch.from_numpy(rng.integers(-9, 9, (2, 3, 4, 5))).double()
    A = convolution_matrix(K, torus, padding)
    assert torch.equal(correlate(x, K, padding).flatten(1), x.flatten(1) @ A.mT)
    assert torch.equal(correlate_adjoint(y, K, padding).flatten(1), y.flatten(1) @ A)


def test_the_form_that_is_chosen_suits_the_kernel():
    torus = Torus(8, 8)
    assert DIRECT_TAPS == 49
    assert isinstance(convolution(t(1, 1, 7, 7), torus), Stencil)
    assert isinstance(convolution(t(1, 1, 8, 7), torus), Circulant)
    large = convolution(t(1, 1, 8, 8), torus, "zero")
    assert isinstance(large, Stencil)
    assert large.padding == "zero"
    K = t(2, 3, 8, 8)
    expected = convolution_matrix(K, torus)
    torch.testing.assert_close(matrix_of(convolution(K, torus)), expected, **EXACT)


def test_a_matrix_is_an_operator_and_an_operator_itself():
    A = t(2, 3)
    dense = as_operator(A)
    assert isinstance(dense, Dense)
    assert dense.A is A
    assert as_operator(dense) is dense
    assert isinstance(dense, Operator)


@pytest.mark.parametrize("step", [0.7, torch.tensor([0.1, 2.0, 0.5, 1.0, 3.0, 0.2, 0.9])])
def test_a_block_lower_triangular_operator_is_its_matrix(step):
    torch.manual_seed(0)
    A = torch.randn(7, 7, dtype=torch.float64).tril(-1)
    A[2, :2], A[3:5, 2:] = 0.0, 0.0  # blocks of one to three rows
    lower = as_operator(A)
    assert isinstance(lower, BlockLower)
    assert lower.parts[0].start == 0
    plain, x = Dense(A), torch.randn(5, 7, dtype=torch.float64)
    step = step if isinstance(step, float) else step.double()
    for one, two in ((lower, plain), (lower.resolvent(step), plain.resolvent(step))):
        torch.testing.assert_close(one.apply(x), two.apply(x), rtol=0, atol=1e-12)
        torch.testing.assert_close(one.adjoint(x), two.adjoint(x), rtol=0, atol=1e-12)
        torch.testing.assert_close(one.blocks(), two.blocks(), rtol=0, atol=1e-12)
    assert not lower.resolvent(step).blocks()[0].triu(1).any()
    A[0, 0] = 1e-300
    assert not isinstance(as_operator(A), BlockLower)
    assert not isinstance(as_operator(torch.zeros(2, 3)), BlockLower)
