"""Each rounding of an enclosed equilibrium alone: guesses whose computed residual is zero, and the true
one is not; and steps from a guess to where its old residual would vanish."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from certify_nets import affine, mondeq_block, tensor
from conv_nets import conv_lben

from certlip.blocks import ConvEquilibrium, Equilibrium, Network, Origin, Sigma
from certlip.blocks.activations import Identity, LeakyReLU, Tanh
from certlip.certification.enclosure import Encloser
from certlip.certification.enclosure.conv_equilibrium import ConvEquilibriumEncloser
from certlip.certification.enclosure.equilibrium import EquilibriumEncloser
from certlip.certification.enclosure.guesses import Polish
from certlip.lmi import prove
from certlip.solvers import Evaluator


def prepared(block):
    encloser = EquilibriumEncloser if isinstance(block, Equilibrium) else ConvEquilibriumEncloser
    return encloser(block, prove(Network([block])).blocks[0])


def scalar(w, u, b, kind, image=False):
    """z = σ(wz + ux + b), y = z: a matrix, or an image of one pixel."""
    lip = 4.0 * max(1.0, float(np.linalg.norm(u))) ** 2 / min(1.0, 1.0 - w)
    family = Origin("lben", {"lip": lip}, {"psi": tensor([1.0])})
    W, U, G, sigma = tensor([[w]]), tensor([u]), tensor([[1.0]]), Sigma.of(kind, 1)
    b_z, b_y = tensor([b]), tensor([0.0])
    if not image:
        return Equilibrium(W, U, G, b_z, b_y, sigma, family)
    kernels = (a[..., None, None] for a in (W, U, G))
    return ConvEquilibrium(*kernels, b_z, b_y, sigma, 1, 1, family)


def solution(w, u, b, kind, x):
    """z in rational arithmetic, for v of one sign: z = s(wz + c)."""
    c = sum((Fraction(a) * Fraction(t) for a, t in zip(u, x, strict=True)), Fraction(b))
    slope = Fraction(1 if c >= 0 else kind.slopes[0])
    return slope * c / (1 - slope * Fraction(w))


SOURCES = {
    "the input": (0.0, [0.3, 0.7], 0.0, Identity(), [1.1, -0.9]),
    "the constant": (0.0, [2.0**-54], 1.0, Identity(), [0.9]),
    "the state": (-0.7, [1.0], 0.0, Identity(), [1.3]),
    "a state that hardly contracts": (1.0 - 1e-6, [1.0], 0.0, Identity(), [1.3]),
    "the activation": (0.0, [1.0], 0.0, LeakyReLU(0.3), [-0.7]),
}


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("name", SOURCES)
def test_what_a_residual_of_zero_hides_is_held(name, image):
    w, u, b, kind, x = SOURCES[name]
    encloser = prepared(scalar(w, u, b, kind, image))
    hidden = 0
    for scale in 1.0 + np.arange(200) / 1000.0:
        row = scale * np.array(x)
        true = solution(w, u, b, kind, row.tolist())
        z = np.array([[float(true) * (1.0 + 2.0**-40)]])
        for _ in range(60):  # a guess that is its own image in floating point, if there is one
            v = z @ np.array([[w]]) + row[None] @ np.array([u]).T + b
            z = kind.forward(torch.from_numpy(v)).numpy()
        local = encloser(row[None], z)
        gap = abs(Fraction(local.y[0, 0]) - true)
        assert gap <= Fraction(local.delta[0])
        assert local.delta[0] < 2e-14 * max(1.0, abs(true)) / min(1.0, 1.0 - w)
        hidden += gap > 0 and np.array_equal(kind.forward(torch.from_numpy(v)).numpy(), z)
    assert hidden > 10


def test_a_sum_over_large_states_is_held_where_it_cancels():
    W, n = np.zeros((3, 3)), 3
    W[2, :2] = 1000.3, -1000.3001
    family = Origin("lben", {"lip": 1e7}, {"psi": tensor([1e-3, 1e-3, 1e3])})
    hidden = 0
    for b in np.random.default_rng(0).uniform(0.5, 1.0, 50):
        c = [b, b, 0.0]
        arrays = map(tensor, (W, np.zeros((n, 1)), [[0.0, 0.0, 1.0]], c, [0.0]))
        encloser = prepared(Equilibrium(*arrays, Sigma.of(Identity(), n), family))
        third = float(W[2] @ np.array(c))
        local = encloser(np.zeros((1, 1)), np.array([[b, b, third]]))
        true = Fraction(b) * (Fraction(W[2, 0]) + Fraction(W[2, 1]))
        assert abs(Fraction(local.y[0, 0]) - true) <= Fraction(local.delta[0])
        assert local.delta[0] < 1e-11
        hidden += abs(Fraction(third) - true) > Fraction(1, 10**14)
    assert hidden > 10


def test_what_a_library_may_err_by_is_part_of_a_residual():
    x = np.array([[0.9]])
    delta = prepared(scalar(0.0, [1.0], 0.0, Tanh()))(x, np.tanh(x)).delta[0]
    assert 2.0**-49 * np.tanh(0.9) <= delta < 2.0**-46


def test_the_rounding_of_the_readout_of_a_residual_is_held():
    # ẑ = 0 and W = 0: y = 0 is off by Ge for e = −b, which cancels but for rounding
    rng = np.random.default_rng(0)
    family = Origin("lben", {"lip": 10.0}, {"psi": tensor(np.ones(2))})
    sigma, zero = Sigma.of(Identity(), 2), np.zeros((2, 2))
    hidden = 0
    for g, b in rng.uniform(0.5, 1.0, (50, 2)):
        G, c = [[g, -g * b]], [b, 1.0]
        block = Equilibrium(*map(tensor, (zero, zero, G, c, [0.0])), sigma, family)
        encloser = prepared(block)
        true = Fraction(g) * Fraction(b) + Fraction(-g * b)
        for blocks in (encloser.blocks, None):  # with and without substitution
            encloser.blocks = blocks
            local = encloser(np.zeros((1, 2)), np.zeros((1, 2)))
            assert local.y[0, 0] == 0.0
            assert abs(true) <= Fraction(local.delta[0])
            assert local.delta[0] < (1e-14 if blocks is None else 10.0)
        hidden += true != 0
    assert hidden > 10


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["dense", "image"])
def test_a_step_to_where_the_old_residual_would_vanish_is_bounded_by_the_new_one(seed, kind):
    block = mondeq_block(seed) if kind == "dense" else conv_lben(seed)
    network, encloser = Network([block]), prepared(block)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, block.in_width))
    true, solved = Evaluator(network).block(0, torch.from_numpy(x))
    z = solved.z.numpy() + 0.1 * rng.standard_normal(solved.z.shape)
    # z − e is what σ was when z was the guess
    local = encloser(x, z, Polish(lambda e, J: e))
    assert not np.array_equal(local.z, z)
    gap = np.linalg.norm(local.y - true.numpy(), axis=1)
    assert gap.max() > 1e-2
    assert (gap <= local.delta + 1e-9).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_bound_that_saves_a_product_holds_and_is_wider(seed):
    block, rng = conv_lben(seed), np.random.default_rng(seed)
    network, encloser = Network([block]), prepared(block)
    x = rng.standard_normal((4, block.in_width))
    true, solved = Evaluator(network).block(0, torch.from_numpy(x))
    z = solved.z.numpy() + 0.1 * rng.standard_normal(solved.z.shape)
    stay = Polish(lambda e, J: np.zeros_like(e)), Polish(lambda e, J: np.zeros_like(e), True)
    quick, thorough = (encloser(x, z, polish) for polish in stay)
    np.testing.assert_allclose(thorough.delta, encloser(x, z).delta, rtol=1e-12)
    assert (thorough.delta < quick.delta).all()
    assert (np.linalg.norm(quick.y - true.numpy(), axis=1) <= quick.delta + 1e-9).all()
    # without anything for Wẑ − Wz* it would not hold
    assert (quick.delta > encloser.gam_root_G * thorough.residual).all()


def test_rows_of_single_precision_are_refused():
    network = Network([affine(np.eye(3))])
    with pytest.raises(ValueError, match="float64"):
        Encloser(network, prove(network))(np.zeros((256, 3), dtype=np.float32))
