"""SLL layers: T of (9), 1-Lipschitz at any scale, and a frozen block that is the same function."""

import numpy as np
import pytest
import torch

from certlip.blocks import Network
from certlip.blocks.activations import ELU, LeakyReLU, Tanh
from certlip.errors import InconclusiveError, InputError
from certlip.layers import SLLDense
from certlip.layers.base import NUDGE
from certlip.layers.dominance import gram_sums
from certlip.layers.sll import sll_scaling
from certlip.lmi import prove
from certlip.solvers import Evaluator


def random_layer(seed, d, k, scale=1.0, activation=None):
    torch.manual_seed(seed)
    layer = SLLDense(d, k, activation).double()
    with torch.no_grad():
        layer.weight.mul_(scale)
        layer.log_q.normal_()
        layer.bias.normal_(std=scale)
    return layer


def steepest(f, x):
    """The largest Jacobian norm over the rows of x."""
    jacobians = torch.vmap(torch.func.jacrev(lambda v: f(v[None])[0]))(x).detach()
    return float(torch.linalg.matrix_norm(jacobians, 2).max())


def test_scaling_is_the_weighted_row_sum_of_the_gram_matrix():
    rng = np.random.default_rng(0)
    W, q = rng.standard_normal((4, 3)), rng.uniform(0.1, 5.0, 3)
    dense = [sum(abs(W[:, i] @ W[:, j]) * q[j] / q[i] for j in range(3)) for i in range(3)]
    np.testing.assert_allclose(sll_scaling(torch.tensor(W), torch.tensor(q)).numpy(), dense)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("activation", [None, LeakyReLU(0.3), Tanh(), ELU(0.7)])
@pytest.mark.parametrize("shape", [(5, 3), (4, 12), (1, 1)])
def test_layer_is_one_lipschitz_and_freezes_to_a_proven_block(shape, activation, scale):
    layer = random_layer(0, *shape, scale, activation)
    x = torch.randn(100, shape[0]).double()
    frozen = Network(layer.freeze())
    assert steepest(layer, x) <= 1.0 + 1e-12
    assert steepest(Evaluator(frozen), x) <= 1.0 + 1e-12
    assert prove(frozen).lip.value == 1.0
    near = 10 * NUDGE * float(layer(x).detach().norm(dim=1).max())
    torch.testing.assert_close(Evaluator(frozen)(x), layer(x), rtol=0.0, atol=near)


def test_zero_columns_are_dropped_and_change_nothing():
    layer = random_layer(1, 5, 7)
    with torch.no_grad():
        layer.weight[:, [0, 3]] = 0.0
    (block,) = layer.freeze()
    x = torch.randn(50, 5).double()
    assert block.W.shape == (5, 5)
    assert bool((block.D > 0).all())
    torch.testing.assert_close(Evaluator(Network([block]))(x), layer(x), rtol=1e-8, atol=1e-8)
    with torch.no_grad():
        layer.weight.zero_()
    assert torch.equal(Evaluator(Network(layer.freeze()))(x), x)
    assert prove(Network(layer.freeze())).lip.value == 1.0


@pytest.mark.parametrize("name", ["weight", "bias", "log_q"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_diverged_layer_is_refused_and_not_frozen_to_the_identity(name, value):
    layer = random_layer(2, 4, 3)
    with torch.no_grad():
        getattr(layer, name).view(-1)[-1] = value
    with pytest.raises(InputError, match="not finite"):
        layer.freeze()


@pytest.mark.parametrize("shift", [-2000.0, 2000.0])
def test_a_common_factor_of_q_does_not_matter(shift):
    layer = random_layer(3, 4, 6)
    before = layer.freeze()[0].D
    with torch.no_grad():
        layer.log_q.add_(shift)
    torch.testing.assert_close(layer.freeze()[0].D, before, rtol=1e-9, atol=0.0)


@pytest.mark.parametrize(("scale", "hard"), [(1e-30, False), (1e-100, False), (1e-155, True)])
def test_vanishing_weights_freeze_to_finite_blocks_and_no_false_proof(scale, hard):
    layer = random_layer(4, 4, 6)
    with torch.no_grad():
        layer.weight.mul_(scale)
    frozen = Network(layer.freeze())
    if hard:  # WᵀW underflows
        with pytest.raises(InconclusiveError, match="neither proven nor refuted"):
            prove(frozen)
    else:
        assert prove(frozen).lip.value == 1.0


def test_a_frozen_block_does_not_follow_the_layer():
    layer = random_layer(5, 3, 3)
    block = layer.freeze()[0]
    before = {name: array.clone() for name, array in block.arrays().items()}
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(before[name], array) for name, array in block.arrays().items())


@pytest.mark.parametrize(("d", "k"), [(0, 3), (3, 0), (-1, 1)])
def test_empty_layers_are_refused(d, k):
    with pytest.raises(InputError, match="expected at least 1"):
        SLLDense(d, k)


def test_gram_sums_are_differentiable_twice_and_under_vmap():
    g = torch.Generator().manual_seed(0)
    W = torch.randn(4, 3, generator=g, dtype=torch.float64, requires_grad=True)
    q = torch.rand(3, generator=g, dtype=torch.float64, requires_grad=True)
    assert torch.equal(gram_sums(W, q), (W.T @ W).abs() @ q)
    assert torch.autograd.gradcheck(gram_sums, (W, q))
    assert torch.autograd.gradgradcheck(gram_sums, (W, q))
    many = torch.stack([W, 2.0 * W]).detach()
    expected = torch.stack([gram_sums(A, q) for A in many])
    torch.testing.assert_close(torch.func.vmap(gram_sums, (0, None))(many, q), expected)
