"""Enclosures hold the exact output, whatever guess they start from."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from certify_nets import NETWORKS, affine, exact_output, lben_block, mondeq_block, normalize, tensor

from certlip.blocks import Activation, Network, Residual, Sigma
from certlip.blocks.activations import ELU, Tanh
from certlip.certify.enclosure import Encloser
from certlip.lmi import prove
from certlip.solvers import Solution


def assert_holds(network, enclosure, x):
    for row, y, error in zip(x, enclosure.y, enclosure.error, strict=True):
        gap = [Fraction(float(a)) - b for a, b in zip(y, exact_output(network, row), strict=True)]
        assert sum(g * g for g in gap) <= Fraction(float(error)) ** 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETWORKS)
def test_enclosure_holds_the_exact_logits(name, seed):
    network = NETWORKS[name](seed)
    x = 10.0 ** (seed - 1) * np.random.default_rng(seed).standard_normal((3, 4))
    enclosure = Encloser(network, prove(network))(x)
    assert (enclosure.error < 1e-8).all()
    assert_holds(network, enclosure, x)


class Guess:
    """An evaluator whose solver returns whatever it likes."""

    def __init__(self, answer):
        self.answer = answer

    def block(self, k, y):
        z = torch.from_numpy(self.answer(k, y.numpy()))
        return z, Solution(z, z.norm(dim=-1), 1, False)


@pytest.mark.parametrize("name", ["triangular", "lben", "mondeq"])
@pytest.mark.parametrize("noise", [0.0, 1e-6, 1.0, 1e6, None])
def test_terrible_guesses_only_widen_the_enclosure(name, noise):
    network = NETWORKS[name](5)
    encloser = Encloser(network, prove(network))
    x = np.random.default_rng(1).standard_normal((3, 4))
    good, solve, rng = encloser(x), encloser.guess, np.random.default_rng(2)

    def answer(k, y):
        z = solve.block(k, torch.from_numpy(y))[1].z.numpy()
        return np.zeros_like(z) if noise is None else z + noise * rng.standard_normal(z.shape)

    encloser.guess = Guess(answer)
    bad = encloser(x)
    assert_holds(network, bad, x)
    if noise != 0.0:
        assert (bad.error > 10 * good.error).all()
        assert (bad.residual > 10 * good.residual).all()
    assert np.isfinite(bad.error).all()


def test_ge_is_part_of_the_error():
    # U = W = 0: the equilibrium is relu(b), We = 0, and all of the error is Ge
    block = lben_block(0)
    zero = {name: torch.zeros_like(getattr(block, name)) for name in ("W", "U")}
    from dataclasses import replace

    network = Network([replace(block, **zero)])
    encloser = Encloser(network, prove(network))
    encloser.guess = Guess(lambda _k, y: np.ones((len(y), 6)))
    x = np.zeros((2, 4))
    assert_holds(network, encloser(x), x)


def test_the_bound_is_attained_by_the_identity_and_not_much_larger():
    # scalar z = wz + x: the guess ẑ is off by e/(1 − w), and the bound says |e| + |we|/(1 − w)
    from certify_nets import Equilibrium, Origin

    from certlip.blocks.activations import Identity

    origin = Origin("mondeq", {"m": 0.5})
    arrays = map(tensor, ([[0.5]], [[1.0]], [[1.0]], [0.0], [0.0]))
    network = Network([Equilibrium(*arrays, Sigma.of(Identity(), 1), origin)])
    encloser = Encloser(network, prove(network))
    encloser.guess = Guess(lambda _k, y: 2 * y + 1e-3)
    enclosure = encloser(np.array([[1.0]]))
    gap = abs(enclosure.y[0, 0] - 2.0)
    assert gap <= enclosure.error[0] <= 2.01 * gap  # two: the room left for the checker


def test_transcendental_activations_are_enclosed():
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(3)
    W, D, b = rng.standard_normal((4, 6)), rng.uniform(0, 0.1, 6), rng.standard_normal(6)
    sigma = Sigma(((Tanh(), 3), (ELU(0.7), 3)))
    network = Network(
        [Residual(tensor(W), tensor(D), tensor(b), sigma), Activation(Sigma.of(Tanh(), 4))]
    )
    x = rng.standard_normal((20, 4))
    enclosure = Encloser(network, prove(network))(x)
    with mpmath.workdps(60):
        exact = np.vectorize(lambda v: mpmath.mpf(float(v)), otypes=[object])
        for row, y, error in zip(exact(x), exact(enclosure.y), enclosure.error, strict=True):
            v = exact(W).T.dot(row) + exact(b)
            s = [mpmath.tanh(t) for t in v[:3]]
            s += [t if t >= 0 else mpmath.mpf(0.7) * mpmath.expm1(t) for t in v[3:]]
            true = row - 2 * exact(W).dot(exact(D) * np.array(s, dtype=object))
            gap = [a - mpmath.tanh(t) for a, t in zip(y, true, strict=True)]
            assert mpmath.sqrt(sum(g * g for g in gap)) <= mpmath.mpf(float(error))
    assert (enclosure.error < 1e-12).all()


def test_chained_blocks_multiply_earlier_errors_by_later_bounds():
    # the same local error in front of a steep block must count 1000 times
    network = Network([normalize(4), mondeq_block(0), affine(1000 * np.eye(3))])
    flat = Network([*network.blocks[:2], affine(np.eye(3))])
    x = np.random.default_rng(0).standard_normal((2, 4))
    errors = [Encloser(n, prove(n))(x).error for n in (network, flat)]
    assert (errors[0] > 900 * errors[1]).all()
    assert_holds(network, Encloser(network, prove(network))(x), x)


def test_more_rows_than_a_batch_are_refused():
    network = NETWORKS["affine"](0)
    with pytest.raises(ValueError, match="at most 256"):
        Encloser(network, prove(network))(np.zeros((257, 4)))
