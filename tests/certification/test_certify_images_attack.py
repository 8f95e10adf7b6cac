"""Attempts to make an enclosure on images too small or a radius too large, against exact arithmetic."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from certify_nets import activate, exact, exact_output, solve
from conv_nets import normal, tensor
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from certlip.blocks import (
    Activation,
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    Network,
    Origin,
    Pooling,
    Sigma,
)
from certlip.blocks.activations import Identity, LeakyReLU, ReLU
from certlip.blocks.dense_form import dense_form, kernel_matrix
from certlip.certification.enclosure import Encloser, convolution, image
from certlip.certification.enclosure.conv_equilibrium import ConvEquilibriumEncloser
from certlip.certification.enclosure.convolution import Direct
from certlip.certification.enclosure.image import (
    conv_residual,
    pooling,
)
from certlip.certification.enclosure.near import Near
from certlip.errors import CertlipError
from certlip.linalg.torus import Torus
from certlip.lmi import prove

U = Fraction(1, 2**53)
seeds = st.integers(0, 2**32 - 1)
KINDS = (ReLU(), LeakyReLU(0.3), LeakyReLU(1e-300), Identity())


def squares(v):
    return sum(Fraction(x) ** 2 for x in v)


def assert_within(y, error, true):
    assert squares(exact(y) - true) <= Fraction(float(error)) ** 2


def exact_image_output(net, x):
    y = exact(x)
    for block in net.blocks:
        y = exact_output(Network(dense_form(block)), y)
    return y


def wild(rng, *shape):
    """Numbers of one of many sizes, of very different sizes, or mostly zeros."""
    size = 10.0 ** rng.choice([0, 0, 0, 30, -30, 140, -140, -300, -315])
    a = rng.standard_normal(shape)
    which = rng.integers(0, 4)
    if which == 1:
        return a * 10.0 ** rng.uniform(-320, 150, shape)
    if which == 2:
        return np.where(rng.random(shape) < 0.5, 0.0, a) * size
    return a * size


# --- numbers of any size --------------------------------------------------------------------------


def wild_blocks(rng):
    kh, kw, o, i = rng.integers(1, 4, 4).tolist()
    H, W = kh + int(rng.integers(0, 2)), kw + int(rng.integers(0, 2))
    padding = str(rng.choice(["circular", "zero"]))
    sigma = Sigma(tuple((KINDS[rng.integers(4)], H * W) for _ in range(o)))
    kind = rng.integers(0, 3)
    K = wild(rng, o, i, kh, kw)
    if kind == 0:
        return [Convolution(tensor(K), tensor(wild(rng, o)), H, W, padding)]
    if kind == 1:
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            D = rng.uniform(0.0, 1.0, o) / np.abs(K).sum() ** 2
        D = np.where(np.isfinite(D) & (rng.random(o) < 0.8), D, 0.0)
        return [ConvResidual(tensor(K), tensor(D), tensor(wild(rng, o)), sigma, H, W, padding)]
    first = Convolution(tensor(K), tensor(wild(rng, o)), H, W, padding)
    window = int(np.gcd(H, W))
    return [first, Activation(sigma), Pooling(o, H, W, window)]


@settings(max_examples=60)
@given(seed=seeds, taps=st.sampled_from([0, 49]))
def test_enclosures_hold_for_numbers_of_any_size(seed, taps):
    rng = np.random.default_rng(seed)
    net = Network(wild_blocks(rng))
    x = wild(rng, 2, net.in_width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "DIRECT_TAPS", taps)
        try:
            encloser = Encloser(net, prove(net))
        except CertlipError:  # undecided
            reject()
        with np.errstate(over="ignore", invalid="ignore"):
            enclosure = encloser(x)
    for row, y, error in zip(x, enclosure.y, enclosure.error, strict=True):
        if np.isfinite(y).all() and np.isfinite(error):
            assert_within(y, error, exact_image_output(net, row))


# --- equilibria -----------------------------------------------------------------------------------


class Guess:
    """A solver that returns whatever it likes."""

    def __init__(self, answer):
        self.answer = answer

    def block(self, _k, y, _start):
        return self.answer(y)

    def polish(self, _k):
        return None


def slopes(sigma):
    own = {"relu": 0.0, "identity": 1.0}
    return np.concatenate(
        [np.full(n, own.get(kind.name, getattr(kind, "slope", 0.0))) for kind, n in sigma.segments]
    )


def exact_equilibrium_output(block, x):
    """Gz + b_y for the one z = σ(Wz + Ux + b_z): of all linear pieces, the one that holds its own z."""
    (form,) = dense_form(block)
    a = {name: exact(array.numpy()) for name, array in form.arrays().items()}
    c = a["U"].dot(exact(x)) + a["b_z"]
    eye = exact(np.eye(len(c)))
    below = [Fraction(s) for s in slopes(form.sigma)]
    for J in itertools.product(*[(1,) if s == 1 else (1, s) for s in below]):
        J = np.array(J, dtype=object)
        z = solve(eye - J[:, None] * a["W"], J * c)
        if (z == activate(form.sigma, a["W"].dot(z) + c)).all():
            return a["G"].dot(z) + a["b_y"]
    raise AssertionError("no equilibrium")


def wild_equilibrium(rng):
    """(7) with Ψ, U, G of many sizes and another σ in every channel."""
    H, W = [(1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (2, 2)][rng.integers(6)]
    n, torus = int(rng.integers(1, 1 + 6 // (H * W))), Torus(H, W)

    def kernel(o, i):
        size = 10.0 ** rng.choice([0, 0, 3, -3, 30, -40])
        taps = rng.integers(1, H + 1), rng.integers(1, W + 1)
        return size * normal(rng, o, i, *map(int, taps))

    U, G = kernel(n, 2), kernel(2, n)
    psi = tensor(10.0 ** (rng.uniform(-2, 2, n) + rng.choice([0, 0, 20, -50])))
    lip, eps = 10.0 ** rng.uniform(-2, 2), 10.0 ** rng.choice([-1.0, -4.0])
    V, S = (torus.spectrum(0.5 * normal(rng, n, n, H, W)) for _ in range(2))
    U_f, G_f, eye = torus.spectrum(U), torus.spectrum(G), torch.eye(n, dtype=V.dtype)
    psi_U = U_f / psi[:, None]
    right = (G_f.mH @ G_f + psi_U @ psi_U.mH) / (2 * lip) + S.mH - S + V.mH @ V + eps * eye
    kernel_W = torus.kernel(eye - psi[:, None] * right).contiguous()
    sigma = Sigma(tuple((KINDS[rng.integers(4)], H * W) for _ in range(n)))
    origin = Origin("lben", {"lip": lip}, {"psi": psi})
    return ConvEquilibrium(kernel_W, U, G, normal(rng, n), normal(rng, 2), sigma, H, W, origin)


@settings(max_examples=10)
@given(
    seed=seeds, taps=st.sampled_from([0, 49]), noise=st.sampled_from([None, 0.0, 1e-9, 1.0, 1e9])
)
def test_any_guess_of_any_equilibrium_is_enclosed(seed, taps, noise):
    rng = np.random.default_rng(seed)
    block = wild_equilibrium(rng)
    net = Network([block])
    x = 10.0 ** rng.choice([0, 3, -3, 30]) * rng.standard_normal((1, net.in_width))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "DIRECT_TAPS", taps)
        try:
            proof = prove(net)
        except CertlipError:
            reject()
        encloser = Encloser(net, proof)
        solver = encloser.guess

        def answer(y):
            if noise is None:
                return np.zeros((len(y), block.n * block.pixels))
            z = solver.block(0, y)
            return z + noise * (1.0 + np.abs(z)) * rng.standard_normal(z.shape)

        encloser.guess = Guess(answer)
        enclosure = encloser(x)
    if np.isfinite(enclosure.error[0]):
        assert_within(enclosure.y[0], enclosure.error[0], exact_equilibrium_output(block, x[0]))
    # and no linear piece is steeper than what is proven: exactly, as I − JW may be ill-conditioned
    (form,) = dense_form(block)
    W, In, Out = (exact(A.numpy()) for A in (form.W, form.U, form.G))
    low, eye = slopes(form.sigma), exact(np.eye(len(W)))
    for J in low + (1.0 - low) * rng.integers(0, 2, (3, len(low))):
        J = exact(J)[:, None]
        columns = [solve(eye - J * W, (J * In)[:, k]) for k in range(In.shape[1])]
        slope = Out.dot(np.array(columns, dtype=object).T).astype(float)
        assert np.linalg.norm(slope, 2) <= proof.lip.value * (1 + 1e-12)


# --- a-priori bounds, whatever the order of the sums ----------------------------------------------


@settings(max_examples=30)
@given(seed=seeds, positive=st.booleans())
def test_a_product_allows_for_any_order_of_its_sums(seed, positive):
    rng = np.random.default_rng(seed)
    o, i, kh, kw = rng.integers(1, 4, 4).tolist()
    H, W = kh + int(rng.integers(0, 2)), kw + int(rng.integers(0, 2))
    K, x = rng.standard_normal((o, i, kh, kw)), rng.standard_normal((1, i * H * W))
    if positive:  # constant images make the bound tight
        K, x = np.ones_like(K), np.ones_like(x)
    for padding in ("circular", "zero"):
        y = Direct(K, H, W, padding)(Near.exact(x))
        size = kernel_matrix(torch.from_numpy(np.abs(K)), Torus(H, W), padding).numpy()
        terms = i * kh * kw
        worst = exact(size).dot(exact(np.abs(x[0])))
        assert Fraction(float(y.error[0])) ** 2 >= (terms * U) ** 2 * squares(worst)


def test_a_negative_factor_makes_an_error_no_smaller():
    near = Near(np.ones((1, 2)), np.array([0.5])) * np.array([-3.0, 1.0])
    assert near.error[0] >= 1.5


@pytest.mark.parametrize("window", [1, 2, 3])
def test_pooling_allows_for_any_order_of_its_sums(window):
    x = np.random.default_rng(window).standard_normal((3, 2 * 6 * 6))
    block = Pooling(2, 6, 6, window)
    for row, delta in zip(x, pooling(block, x).delta, strict=True):
        worst = exact_image_output(Network([block]), np.abs(row))
        # k² − 1 sums and a division
        assert Fraction(float(delta)) ** 2 >= (window**2 * U) ** 2 * squares(worst)


def test_pooling_of_numbers_that_underflow():
    tiny = 2.0**-1074
    x = np.array([[tiny, 0.0, 0.0, 0.0], [3 * tiny, tiny, 0.0, tiny]])
    block = Pooling(1, 2, 2, 2)
    local = pooling(block, x)
    for row, y, delta in zip(x, local.y, local.delta, strict=True):
        assert_within(y, delta, exact_image_output(Network([block]), row))


def weighted():
    """z = z/2 + x in two channels of very different weight γ, y = 3√γ z: the bound in the Γ norm is
    attained by each channel alone."""
    gam = np.array([1e-4, 1e4])
    eye = np.eye(2)[:, :, None, None]
    G, zero = tensor(3.0 * np.sqrt(gam)[:, None, None, None] * eye), tensor([0.0, 0.0])
    origin = Origin("lben", {"lip": 1e5}, {"psi": tensor(1.0 / gam)})
    parts = tensor(0.5 * eye), tensor(eye), G, zero, zero, Sigma.of(Identity(), 4), 1, 2, origin
    block = ConvEquilibrium(*parts)
    return 3.0 * np.sqrt(gam), ConvEquilibriumEncloser(block, prove(Network([block])).blocks[0])


@pytest.mark.parametrize("channel", [0, 1])
def test_the_distance_of_a_guess_counts_with_the_weight_of_its_channel(channel):
    root, local = weighted()
    x = np.repeat(np.arange(2) == channel, 2)[None] * [[3.0, -4.0, 3.0, -4.0]]
    found = local(x, np.zeros((1, 4)))
    distance = root[channel] * 2 * 5.0  # y = 3√γ·2x
    assert distance <= found.delta[0] <= 1.01 * distance


@pytest.mark.parametrize("channel", [0, 1])
def test_an_unseen_error_of_a_residual_counts_with_the_largest_weight(channel):
    root, local = weighted()
    exact_W, shift = local.W, np.repeat(np.arange(2) == channel, 2) * 1e-3

    def off(z):
        y = exact_W(z)
        return Near(y.v + shift, y.error + 1.000001 * np.linalg.norm(shift))

    off.numbers = exact_W.numbers
    local.W = off
    x = np.array([[3.0, -4.0, 1.0, 2.0]])
    z = 2.0 * (x + shift)  # solves the equation that is off
    found = local(x, z)
    gap = np.linalg.norm(found.y - 2.0 * x * np.repeat(root, 2))
    assert gap <= found.delta[0]
    assert found.residual[0] >= np.linalg.norm(shift)
    if channel == 1:  # the product with the residual does not see it either
        assert found.delta[0] <= 3.01 * gap


# --- residual blocks: errors inside -----------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("channel", [0, 1])
def test_an_error_inside_of_a_residual_step_grows_as_much_as_it_can(factor, channel, monkeypatch):
    # x − 2KᵀDKx with K = diag(k), D = factor/k²: an error e before σ becomes 2·factor·e/k
    monkeypatch.setattr(convolution, "DIRECT_TAPS", 0)
    k = np.array([0.01, 100.0])
    K, sigma = tensor(np.diag(k)[:, :, None, None]), Sigma.of(Identity(), 8)
    block = ConvResidual(K, tensor(factor / k**2), tensor([0.0, 0.0]), sigma, 2, 2, "circular")
    net = Network([block])
    (proof,) = prove(net).blocks
    local = conv_residual(block, proof)
    x = np.random.default_rng(0).standard_normal((1, 8))
    exact_step, shift = local.K, np.repeat(np.arange(2) == channel, 4) * 1e-3

    def off(v):
        y = exact_step(v)
        return Near(y.v + shift, y.error + 1.000001 * np.linalg.norm(shift))

    off.numbers = exact_step.numbers
    local.K = off
    found = local(x)
    gap = np.linalg.norm(found.y - exact_image_output(net, x[0]).astype(float))
    assert gap == pytest.approx(2 * factor * 2e-3 / k[channel])
    assert gap <= found.delta[0]
    if channel == 0:  # the largest D: attained
        assert found.delta[0] <= 1.1 * gap * max(1.0, factor**-0.5)


@pytest.mark.parametrize(("k", "b", "x"), [(0.7, 3.0, 5.0), (0.7, 1e3, 5.0), (90.0, 1e-3, 7.0)])
def test_every_rounding_of_an_image_of_one_pixel_counts_once(k, b, x):
    u = 2.0**-53
    K, one = tensor([[[[k]]]]), np.array([[x]])
    v = k * x + b
    block = Convolution(K, tensor([b]), 1, 1, "zero")
    found = image.convolution(block, prove(Network([block])).blocks[0])(one)
    assert found.delta[0] == pytest.approx(2 * u * v, rel=1e-6, abs=0.0)  # product and sum
    sigma, D = Sigma.of(ReLU(), 1), 0.9 / k**2
    block = ConvResidual(K, tensor([D]), tensor([b]), sigma, 1, 1, "zero")
    found = conv_residual(block, prove(Network([block])).blocks[0])(one)
    step = 2 * k * D * v
    # v errs by 2uv, 2Dσ(v) by one rounding more, K times that by two, and the difference by its size
    assert found.delta[0] == pytest.approx((2 + 1 + 2) * u * step + u * (x + step), rel=1e-6)
