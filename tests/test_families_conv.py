"""Every convolutional family: trainable, 1-Lipschitz, frozen to the same function, proven; one row each.

Ground truth is the dense matrix or the dense Jacobian of the whole image.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from conv_nets import jacobian_norms
from hypothesis import given
from hypothesis import strategies as st

from certlip.blocks import Block, ConvResidual, Network, Sigma
from certlip.blocks.activations import ELU, LeakyReLU, ReLU, Tanh
from certlip.blocks.dense_form import kernel_matrix
from certlip.errors import InputError
from certlip.layers import (
    AOLConv,
    CPLConv,
    OrthogonalConv,
    SandwichConv,
    SLLConv,
    SLLDense,
)
from certlip.layers.aol import aol_kernel
from certlip.layers.cpl import convolution_norm
from certlip.layers.dominance import correlation_sums, gram_sums
from certlip.layers.orthogonal import cayley
from certlip.layers.sll import sll_conv_scaling
from certlip.linalg.gram import gram_norm
from certlip.linalg.torus import Torus
from certlip.lmi import prove
from certlip.solvers import Evaluator

R = ReLU()
BOTH = ("circular", "zero")
#: name → (layers on images of 3 channels with a kernel of that size and padding, bound, paddings)
FAMILIES = {
    "sll": (lambda i, **o: [SLLConv(3, 4, i, **o), SLLConv(3, 2, i, **o)], 1.0, BOTH),
    "sll tanh": (lambda i, **o: [SLLConv(3, 2, i, **o, activation=Tanh())], 1.0, BOTH),
    "cpl": (lambda i, **o: [CPLConv(3, 4, i, **o), CPLConv(3, 1, i, **o)], 1.0, BOTH),
    "cpl leaky": (lambda i, **o: [CPLConv(3, 2, i, **o, activation=LeakyReLU(0.3))], 1.0, BOTH),
    "aol": (
        lambda i, **o: [AOLConv(3, 4, i, **o, activation=R), AOLConv(4, 2, i, **o)],
        1.0,
        BOTH,
    ),
    "orthogonal": (
        lambda i, **o: [
            OrthogonalConv(3, 5, i, size=o["size"], activation=ELU()),
            OrthogonalConv(5, 2, i, size=o["size"]),
        ],
        1.0,
        ("circular",),
    ),
    "sandwich": (
        lambda i, **o: [
            SandwichConv(3, 4, 2, i, size=o["size"], lip=0.5),
            SandwichConv(2, 7, 3, i, size=o["size"], lip=3.0),
        ],
        1.5,
        ("circular",),
    ),
}
ROWS = [(name, padding) for name, (_, _, paddings) in FAMILIES.items() for padding in paddings]
IMAGES = [(4, 4), (3, 5), (1, 6)]
#: kernels of odd, even and single size, and of the size of the image
SIZES = {
    "3×3": lambda h, w: (min(3, h), min(3, w)),
    "2×4": lambda h, w: (min(2, h), min(4, w)),
    "1×1": lambda h, w: 1,
    "full": lambda h, w: (h, w),
}


def make(name, padding, image=(4, 4), size="3×3", seed=0, spread=0.3):
    """Layers in float64 with every parameter moved away from its initial value."""
    torch.manual_seed(seed)
    built = FAMILIES[name][0](image, size=SIZES[size](*image), padding=padding)
    layers = torch.nn.Sequential(*built).double()
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter += spread * torch.randn_like(parameter)
    return layers


def frozen(layers) -> Network:
    blocks: list[Block] = []
    for layer in layers:
        blocks.extend(layer.freeze())
    return Network(blocks)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "padding"), ROWS)
def test_freeze_keeps_the_function(name, padding, size, image):
    layers = make(name, padding, image, size, seed=len(size) + image[1])
    x = torch.randn(8, 3, *image, dtype=torch.float64)
    with torch.no_grad():
        y = layers(x).flatten(1)
        assert (y - Evaluator(frozen(layers))(x.flatten(1))).abs().max() < 1e-7


@pytest.mark.parametrize(("image", "size"), [((4, 4), "3×3"), ((3, 5), "2×4"), ((1, 6), "full")])
@pytest.mark.parametrize(("name", "padding"), ROWS)
def test_the_bound_is_proven_on_the_frozen_numbers(name, padding, image, size):
    layers = make(name, padding, image, size, seed=1)
    assert prove(frozen(layers)).lip.value <= FAMILIES[name][1] * (1 + 1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize(("image", "size"), [((4, 4), "3×3"), ((3, 5), "2×4"), ((3, 4), "full")])
@pytest.mark.parametrize(("name", "padding"), ROWS)
def test_no_jacobian_is_larger_than_the_bound(name, padding, image, size, scale):
    layers = make(name, padding, image, size, seed=2, spread=1.0)
    with torch.no_grad():
        for key, parameter in layers.named_parameters():
            if "log" not in key:
                parameter *= scale
    x = torch.randn(3, 3, *image, dtype=torch.float64)
    assert jacobian_norms(layers, x).max() <= FAMILIES[name][1] * (1 + 1e-9)


@pytest.mark.parametrize(("name", "padding"), ROWS)
def test_gradients_in_the_input_and_in_all_parameters(name, padding):
    layers = make(name, padding, (3, 3), "2×4", seed=3)
    x = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layers.named_parameters(), strict=True)

    def value(x, *parameters):
        return torch.func.functional_call(
            layers, dict(zip(names, parameters, strict=True)), (x,)
        ).sin()

    assert torch.autograd.gradcheck(value, (x, *values), eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "padding"), ROWS)
def test_zero_weights_have_values_and_gradients(name, padding, dtype):
    layers = make(name, padding).to(dtype)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.zero_()
    x = torch.randn(4, 3, 4, 4, dtype=dtype)
    y = layers(x)
    (y - 1.0).square().sum().backward()
    assert torch.isfinite(y).all()
    for key, parameter in layers.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
    network = frozen(layers)
    with torch.no_grad():
        assert (Evaluator(network)(x.flatten(1).double()) - y.flatten(1)).abs().max() < 1e-6
    assert prove(network).lip.value <= FAMILIES[name][1] * (1 + 1e-6)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize(("name", "padding"), ROWS)
def test_a_diverged_layer_is_refused_in_one_line(name, padding, value):
    for key, _ in make(name, padding).named_parameters():
        layers = make(name, padding)
        with torch.no_grad():
            layers.get_parameter(key).view(-1)[-1] = value
        with pytest.raises(InputError, match=r"finite|positive number") as caught:
            frozen(layers)
        assert "\n" not in str(caught.value)


def test_float32_layers_are_the_float64_ones_rounded():
    for name, padding in ROWS:
        layers = make(name, padding)
        x = torch.randn(4, 3, 4, 4, dtype=torch.float64)
        with torch.no_grad():
            exact = layers(x)
            y = layers.float()(x.float())
        assert y.dtype == torch.float32
        assert (y - exact).abs().max() < 1e-4, (name, padding)


# --- what the bounds are made of


@st.composite
def kernels(draw):
    """A kernel (o, i, kh, kw) that fits, the image, and q > 0."""
    h, w, o, i = (draw(st.integers(1, n)) for n in (4, 5, 3, 3))
    kh, kw = draw(st.integers(1, h)), draw(st.integers(1, w))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    K = torch.randn(o, i, kh, kw, dtype=torch.float64, generator=generator)
    q = torch.rand(o, dtype=torch.float64, generator=generator) + 0.1
    return K, Torus(h, w), q


def least_eigenvalue(S):
    return float(torch.linalg.eigvalsh(S)[0])


@given(kernels(), st.sampled_from(BOTH))
def test_T_dominates_the_dense_gram_matrix(case, padding):
    K, torus, q = case
    matrix = kernel_matrix(K, torus, padding)
    T = sll_conv_scaling(K, q).repeat_interleave(torus.pixels)
    gap = torch.diag(T) - matrix @ matrix.T
    assert least_eigenvalue(gap) >= -1e-12 * float(T.max())


def test_T_of_one_shift_alone_or_without_absolute_values_is_too_small():
    K = torch.tensor([[[[1.0, 1.0, 1.0]]]], dtype=torch.float64)
    for padding in BOTH:
        matrix = kernel_matrix(K, Torus(1, 6), padding)
        norm = float(torch.linalg.matrix_norm(matrix, 2)) ** 2
        assert sll_conv_scaling(K, torch.ones(1, dtype=torch.float64)).item() == 9.0
        assert float(K.square().sum()) < norm <= 9.0
    alternating = torch.tensor([[[[1.0, -1.0, 1.0]]]], dtype=torch.float64)
    matrix = kernel_matrix(alternating, Torus(1, 6), "circular")
    assert float(alternating.sum()) ** 2 == 1.0  # Σ_t of the autocorrelation itself
    assert float(torch.linalg.matrix_norm(matrix, 2)) ** 2 == pytest.approx(9.0)


@given(kernels())
def test_the_autocorrelation_is_the_sum_it_says(case):
    K, _, q = case
    o, i, kh, kw = K.shape
    expected = torch.zeros_like(q)
    for a, b in itertools.product(range(o), repeat=2):
        for s, t in itertools.product(range(1 - kh, kh), range(1 - kw, kw)):
            total = sum(
                float(K[a, c, u, v] * K[b, c, u + s, v + t])
                for c, u, v in itertools.product(range(i), range(kh), range(kw))
                if 0 <= u + s < kh and 0 <= v + t < kw
            )
            expected[a] += abs(total) * q[b]
    torch.testing.assert_close(correlation_sums(K, q), expected)


@pytest.mark.parametrize("k", [1, 127, 128, 129, 301, 600])
def test_sums_of_a_gram_matrix_and_their_gradients(k):
    W = torch.randn(3, k, dtype=torch.float64, requires_grad=True)
    q = torch.rand(k, dtype=torch.float64, requires_grad=True)
    whole, sums = (W.T @ W).abs() @ q, gram_sums(W, q)
    torch.testing.assert_close(sums, whole)
    g = torch.randn(k, dtype=torch.float64)
    for a, b in zip(
        torch.autograd.grad(sums @ g, (W, q)),
        torch.autograd.grad(whole @ g, (W, q)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@given(kernels(), st.sampled_from(BOTH))
def test_an_aol_kernel_has_norm_at_most_one(case, padding):
    K, torus, _ = case
    matrix = kernel_matrix(aol_kernel(K), torus, padding)
    assert float(torch.linalg.matrix_norm(matrix, 2)) <= 1.0 + 1e-12


@given(kernels(), st.sampled_from(BOTH))
def test_the_norm_of_cpl_is_an_upper_bound_and_tight_on_a_torus(case, padding):
    K, torus, _ = case
    true = float(torch.linalg.matrix_norm(kernel_matrix(K, torus, padding), 2))
    bound = float(convolution_norm(K, torus, padding))
    assert bound >= true * (1 - 1e-12)
    if padding == "circular":
        assert bound <= true * 1.001


def test_zero_padding_needs_the_larger_torus():
    """[1, −1, 1] on three pixels: |2cos θ − 1| peaks at θ = π, which a torus of three pixels misses."""
    K, torus = torch.tensor([[[[1.0, -1.0, 1.0]]]], dtype=torch.float64), Torus(1, 3)
    true = float(torch.linalg.matrix_norm(kernel_matrix(K, torus, "zero"), 2))
    assert true == pytest.approx(1.0 + 2.0**0.5)
    own = float(gram_norm(torus.spectrum(K)).max())
    assert own == pytest.approx(2.0)
    assert own < true < float(convolution_norm(K, torus, "zero"))
    layer = CPLConv(1, 1, (1, 3), size=(1, 3), padding="zero").double()
    with torch.no_grad():
        layer.kernel.copy_(K)
        layer.bias.fill_(100.0)  # every unit is active
    [block] = layer.freeze()
    assert isinstance(block, ConvResidual)
    wrong = ConvResidual(
        block.K, block.D.new_full((1,), 1 / own**2), block.b, block.sigma, 1, 3, "zero"
    )
    x = torch.zeros(1, 3, dtype=torch.float64)
    assert jacobian_norms(layer, x.reshape(1, 1, 1, 3)).max() <= 1.0
    assert jacobian_norms(Evaluator(Network([wrong])), x).max() > 1.9
    assert prove(Network([block])).lip.value <= 1 + 1e-6
    assert prove(Network([wrong])).lip.value > 1.9


@pytest.mark.parametrize("padding", BOTH)
def test_a_multiplier_that_is_too_large_is_not_proven(padding):
    K = torch.tensor([[[[2.0]]]], dtype=torch.float64)
    layer = SLLConv(1, 1, (2, 3), size=1, padding=padding).double()
    with torch.no_grad():
        layer.kernel.copy_(K)
    [block] = layer.freeze()
    assert isinstance(block, ConvResidual)
    assert block.D.item() == pytest.approx(0.25)
    wrong = ConvResidual(K, 1.01 * block.D, block.b, block.sigma, 2, 3, padding)
    assert prove(Network([block])).lip.value == 1.0
    assert prove(Network([wrong])).lip.value > 1.0


# --- single families


@pytest.mark.parametrize("padding", BOTH)
def test_sll_drops_hidden_channels_without_weights(padding):
    layer = SLLConv(2, 5, (3, 4), padding=padding, activation=Tanh()).double()
    with torch.no_grad():
        layer.bias.normal_()
        layer.kernel[[0, 3]] = 0.0
    [block] = layer.freeze()
    assert isinstance(block, ConvResidual)
    assert block.K.shape == (3, 2, 3, 3)
    assert block.sigma == Sigma.of(Tanh(), 3 * 12)
    assert bool((block.D > 0).all())
    x = torch.randn(4, 2, 3, 4, dtype=torch.float64)
    y = Evaluator(Network([block]))(x.flatten(1))
    torch.testing.assert_close(y, layer(x).flatten(1).detach(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("shift", [-2000.0, 2000.0])
def test_a_common_factor_of_q_does_not_matter(shift):
    layer = SLLConv(2, 3, (4, 4)).double()
    before = layer.freeze()[0].arrays()["D"]
    with torch.no_grad():
        layer.log_q.add_(shift)
    torch.testing.assert_close(layer.freeze()[0].arrays()["D"], before, rtol=1e-9, atol=0.0)


def test_one_pixel_is_the_dense_layer():
    conv, dense = SLLConv(4, 3, (1, 1), size=1).double(), SLLDense(4, 3).double()
    with torch.no_grad():
        conv.kernel.copy_(dense.weight.T[:, :, None, None])
        for name in ("bias", "log_q"):
            conv.get_parameter(name).copy_(torch.randn_like(dense.get_parameter(name)))
            dense.get_parameter(name).copy_(conv.get_parameter(name))
    x = torch.randn(6, 4, dtype=torch.float64)
    torch.testing.assert_close(conv(x[:, :, None, None])[:, :, 0, 0], dense(x))


@pytest.mark.parametrize("image", [(4, 4), (3, 5), (1, 6), (2, 1)])
@pytest.mark.parametrize(("c", "q"), [(3, 3), (2, 5), (5, 2)])
def test_orthogonal_convolutions_are_orthogonal(c, q, image):
    size = SIZES["2×4"](*image)
    layer = OrthogonalConv(c, q, image, size=size).double()
    x = torch.zeros(1, c, *image, dtype=torch.float64)
    Q = torch.autograd.functional.jacobian(layer, x).reshape(-1, x.numel())
    small = Q.T @ Q if q >= c else Q @ Q.T
    assert (small - torch.eye(small.shape[0])).abs().max() < 1e-12
    K = layer.freeze()[0].arrays()["K"]
    assert K.shape == (q, c, *image)
    matrix = kernel_matrix(K, Torus(*image), "circular")
    assert (matrix - (1 - 1e-9) * Q).abs().max() < 1e-12


@pytest.mark.parametrize("shape", [(7, 4, 4), (2, 6, 3), (2, 3, 6), (5, 1, 4)])
def test_cayley_of_complex_batches(shape):
    Q = cayley(torch.randn(*shape, dtype=torch.complex128))
    m, n = shape[-2:]
    small = Q @ Q.mH if m < n else Q.mH @ Q
    assert (small - torch.eye(min(m, n))).abs().max() < 1e-12


@pytest.mark.parametrize("lip", [0.01, 100.0])
def test_sandwich_is_as_steep_as_it_may_be(lip):
    """Square, linear and wide: A Aᵀ + B Bᵀ = I holds with equality, and slopes come close to L."""
    layer = SandwichConv(1, 1, 1, (4, 3), lip=lip).double()
    with torch.no_grad():
        layer.kernel[:, :, 0, 0] = torch.tensor([[1.0], [0.5]])
        layer.bias.fill_(1e3)
    x = torch.randn(1, 1, 4, 3, dtype=torch.float64)
    steepest = float(jacobian_norms(layer, x))
    assert 0.5 * lip < steepest <= lip * (1 + 1e-12)
    assert prove(frozen([layer])).lip.value == pytest.approx(lip, rel=1e-6)


# --- plumbing
