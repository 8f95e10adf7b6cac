"""Reparametrization: the same function, the same bound, and the sign the paper prints wrong."""

import numpy as np
import pytest
import torch

from certlip.blocks import (
    Activation,
    Affine,
    Equilibrium,
    Network,
    Normalize,
    Origin,
    Residual,
    Sigma,
)
from certlip.blocks.activations import ELU, LeakyReLU, ReLU, Tanh
from certlip.equilibrium.lben import lben_weight
from certlip.errors import InconclusiveError, InputError, RejectedError, UnsupportedError
from certlip.layers import SLLDense
from certlip.lmi import prove
from certlip.reparam import equilibrium_from_network, lben_from_equilibrium, reparametrize
from certlip.solvers import Evaluator


def tensor(array):
    return torch.tensor(np.asarray(array, dtype=np.float64))


def chain(seed, d, k, depth, kind=None, scale=1.0):
    """Residual blocks; `scale` moves the weights away from their initialisation."""
    torch.manual_seed(seed)
    blocks = []
    for _ in range(depth):
        layer = SLLDense(d, k, kind).double()
        with torch.no_grad():
            layer.weight.mul_(scale).add_(0.2 * scale * torch.randn(d, k))
            layer.log_q.normal_()
            layer.bias.normal_()
        blocks.extend(layer.freeze())
    return blocks


def head(seed, q, d, norm):
    W = np.random.default_rng(seed).standard_normal((q, d))
    return Affine(tensor(norm * W / np.linalg.norm(W, 2)), tensor(np.arange(q)))


def pad(width, d):
    return Affine(torch.eye(width, dtype=torch.float64)[:, :d], tensor(np.zeros(width)))


def normalize(d):
    return Normalize(tensor(np.full(d, 0.3)), tensor(np.linspace(0.5, 2.0, d)))


NETWORKS = {
    "bare": lambda: chain(0, 4, 6, 3),
    "one narrow": lambda: chain(1, 5, 1, 1),
    "wide": lambda: chain(2, 3, 30, 2),
    "deep": lambda: chain(3, 6, 6, 9),
    "leaky": lambda: chain(4, 4, 6, 3, LeakyReLU(0.3)),
    "tanh": lambda: chain(5, 4, 6, 2, Tanh()),
    "mixed": lambda: chain(6, 4, 3, 1, LeakyReLU(0.1)) + chain(7, 4, 5, 1, ELU(0.5)),
    "trained": lambda: chain(8, 5, 8, 4, scale=5.0),
    "small": lambda: chain(9, 5, 8, 4, scale=1e-3),
    "padded": lambda: [pad(7, 4), *chain(10, 7, 5, 3)],
    "head": lambda: [*chain(11, 6, 5, 3), head(0, 3, 6, 1.0)],
    "steep head": lambda: [*chain(12, 6, 5, 3), head(1, 3, 6, 17.0)],
    "flat head": lambda: [*chain(13, 6, 5, 3), head(2, 4, 6, 0.01)],
    "all": lambda: [
        *(normalize(4), pad(6, 4), *chain(14, 6, 5, 3), head(3, 6, 6, 2.0)),
        *(Activation(Sigma.of(ReLU(), 6)), head(4, 3, 6, 0.5)),
    ],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_function_and_bound_are_kept(name):
    network = Network(NETWORKS[name]())
    x = 2 * torch.randn(40, network.in_width, generator=torch.Generator().manual_seed(0)).double()
    logits, lip = Evaluator(network)(x), prove(network).lip.value
    triangular, rebuilt = equilibrium_from_network(network), reparametrize(network).freeze()
    for other in (triangular, rebuilt):
        torch.testing.assert_close(Evaluator(other)(x), logits, rtol=1e-10, atol=1e-10)
        assert prove(other).lip.value <= lip * (1 + 1e-6)
    (block,) = [b for b in triangular.blocks if isinstance(b, Equilibrium)]
    assert not np.triu(block.W.numpy()).any()
    kinds = [b.kind for b in rebuilt.blocks]
    assert kinds == [b.kind for b in triangular.blocks]
    assert "residual" not in kinds


def test_zero_columns_and_dead_multipliers_leave_the_network_and_the_lmi_alike():
    (block,) = chain(20, 5, 6, 1)
    W, D = block.W.clone(), block.D.clone()
    W[:, 1] = 0.0
    D[[1, 4]] = 0.0
    dead = Residual(W, D, block.b, block.sigma)
    network = Network([*chain(21, 5, 3, 1, LeakyReLU(0.2)), dead])
    x = torch.randn(30, 5).double()
    rebuilt = equilibrium_from_network(network)
    assert rebuilt.blocks[0].W.shape == (5 + 3 + 4, 5 + 3 + 4)
    torch.testing.assert_close(Evaluator(rebuilt)(x), Evaluator(network)(x), rtol=1e-12, atol=1e-12)
    assert prove(rebuilt).lip.value <= 1 + 1e-6
    assert prove(reparametrize(network).freeze()).lip.value <= 1 + 1e-6


def test_the_printed_sign_of_s_gives_another_network():
    parts = reparametrize(Network(chain(22, 4, 6, 3)))
    lben = parts.lben
    W = equilibrium_from_network(Network(chain(22, 4, 6, 3))).blocks[0].W
    arguments = [lben.log_psi, lben.U, lben.G, lben.V]
    right = lben_weight(*arguments, lben.S, lben.lip, 0.0).detach()
    wrong = lben_weight(*arguments, -lben.S, lben.lip, 0.0).detach()
    torch.testing.assert_close(right, W, rtol=1e-10, atol=1e-10)
    assert float(torch.linalg.matrix_norm(wrong - W, 2)) > 0.5


def mondeq(seed, n=6, d=4, q=3, m=0.7):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((2, n, n)) / np.sqrt(n)
    W = (1 - m) * np.eye(n) - A.T @ A + B - B.T
    arrays = [
        W,
        rng.standard_normal((n, d)),
        rng.standard_normal((q, n)),
        *rng.standard_normal((1, n)),
    ]
    origin = Origin("mondeq", {"m": m})
    sigma = Sigma.of(ReLU(), n)
    return Equilibrium(*map(tensor, arrays), tensor(np.zeros(q)), sigma, origin)


@pytest.mark.parametrize("seed", range(4))
def test_mondeq_keeps_function_and_bound(seed):
    network = Network([normalize(4), mondeq(seed)])
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(seed)).double()
    lip = prove(network).lip.value
    for other in (equilibrium_from_network(network), reparametrize(network).freeze()):
        torch.testing.assert_close(
            Evaluator(other)(x), Evaluator(network)(x), rtol=1e-10, atol=1e-9
        )
        assert prove(other).lip.value <= lip * (1 + 1e-6)
    again = reparametrize(reparametrize(network).freeze()).freeze()
    torch.testing.assert_close(Evaluator(again)(x), Evaluator(network)(x), rtol=1e-9, atol=1e-9)


def test_multipliers_that_do_not_satisfy_10_are_rejected():
    block = mondeq(0)
    with pytest.raises(RejectedError, match=r"condition \(10\) does not hold"):
        lben_from_equilibrium(block, torch.ones(6, dtype=torch.float64), 1e-3)


@pytest.mark.parametrize(
    ("lam", "lip"),
    [
        ([-1.0], 1.0),
        ([0.0], 1.0),
        ([np.nan], 1.0),
        ([1.0, 1.0], 1.0),
        ([1.0], 0.0),
        ([1.0], np.nan),
    ],
)
def test_multipliers_that_are_not_positive_are_refused(lam, lip):
    ill_posed = Equilibrium(
        *map(tensor, ([[2.0]], [[0.1]], [[0.1]], [0.0], [0.0])), Sigma.of(ReLU(), 1)
    )
    with pytest.raises(InputError, match="positive finite number"):
        lben_from_equilibrium(ill_posed, tensor(lam), lip)


@pytest.mark.parametrize(
    ("blocks", "kinds"),
    [
        (lambda: [normalize(3), head(0, 2, 3, 1.0)], "normalize, affine"),
        (lambda: [normalize(3)], "normalize"),
    ],
)
def test_unsupported_networks_are_refused_with_their_kinds(blocks, kinds):
    for function in (reparametrize, equilibrium_from_network):
        with pytest.raises(UnsupportedError, match=kinds):
            function(Network(blocks()))


def test_normalisation_behind_a_chain_stays_a_block():
    network = Network([*chain(0, 3, 2, 1), normalize(3), *chain(1, 3, 2, 1)])
    parts = reparametrize(network)
    assert [type(part).__name__ for part in parts.parts] == ["LBEN", "Normalize", "LBEN"]
    x = torch.randn(5, 3).double()
    torch.testing.assert_close(Evaluator(parts.freeze())(x), Evaluator(network)(x))
    assert prove(parts.freeze()).lip.value <= prove(network).lip.value * (1 + 1e-6)
    with pytest.raises(
        UnsupportedError, match="one equilibrium cannot hold all of: residual, norm"
    ):
        equilibrium_from_network(network)
    with pytest.raises(ValueError, match="unpack"):
        _ = parts.lben


def test_an_equilibrium_of_unknown_origin_has_no_multipliers():
    block = mondeq(0)
    bare = Equilibrium(*block.arrays().values(), block.sigma)
    with pytest.raises(InconclusiveError, match="unknown origin"):
        reparametrize(Network([bare]))
