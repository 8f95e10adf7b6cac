"""Enclosures hold the exact output, whatever guess they start from."""

from fractions import Fraction

import numpy as np
import pytest
from certify_nets import NETWORKS, affine, exact_output, mondeq_block, normalize, tensor

from certlip.blocks import Activation, Equilibrium, Network, Origin, Residual, Sigma
from certlip.blocks.activations import ELU, Identity, Tanh
from certlip.certification.enclosure import Encloser
from certlip.lmi import prove


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
    """A solver that returns whatever it likes."""

    def __init__(self, answer):
        self.answer = answer

    def block(self, k, y, _start):
        return self.answer(k, y)

    def polish(self, _k):
        return None


@pytest.mark.parametrize("name", ["triangular", "lben", "mondeq"])
@pytest.mark.parametrize("noise", [0.0, 1e-6, 1.0, 1e6, None])
def test_terrible_guesses_only_widen_the_enclosure(name, noise):
    network = NETWORKS[name](5)
    encloser = Encloser(network, prove(network))
    x = np.random.default_rng(1).standard_normal((3, 4))
    good, solve, rng = encloser(x), encloser.guess, np.random.default_rng(2)

    def answer(k, y):
        z = solve.block(k, y)
        return np.zeros_like(z) if noise is None else z + noise * rng.standard_normal(z.shape)

    encloser.guess = Guess(answer)
    bad = encloser(x)
    assert_holds(network, bad, x)
    if noise != 0.0:
        assert (bad.error > 10 * good.error).all()
        assert (bad.residual > 10 * good.residual).all()
    assert np.isfinite(bad.error).all()


def equilibrium(W, U, G, sigma=None, **origin):
    n = len(W)
    family = Origin("lben", {"lip": origin["lip"]}, {"psi": 1 / tensor(origin["lam"])})
    arrays = map(tensor, (W, U, G, np.zeros(n), np.zeros(len(G))))
    return Equilibrium(*arrays, sigma or Sigma.of(Identity(), n), family)


def enclosure_with(block, x, z):
    """The enclosure of one block at the guess z, where the solver says nothing else."""
    network = Network([block])
    encloser = Encloser(network, prove(network))
    encloser.guess = Guess(lambda _k, y: np.tile(np.asarray(z, dtype=np.float64), (len(y), 1)))
    return encloser(np.array([x], dtype=np.float64))


def test_ge_is_part_of_the_error():
    # W = 0: We = 0, and all of the error is Ge
    block = equilibrium(np.zeros((3, 3)), np.eye(3), np.eye(3), lam=np.ones(3), lip=1.0)
    enclosure = enclosure_with(block, [1.0, 2.0, 3.0], [1.0, 2.0, 7.0])
    assert 4.0 <= enclosure.error[0] <= 8.0 * (1 + 1e-9)  # two: the room left for the checker


@pytest.mark.parametrize("w", [-3.0, 0.5, 0.999])
@pytest.mark.parametrize("gam", [1e-6, 1.0, 1e6])
def test_the_bound_is_attained_by_the_identity(w, gam):
    # z = wz + x: a residual e hides an error of e/(1 − w), and the bound says |e| + |we|/(1 − w)
    block = equilibrium([[w]], [[1.0]], [[1.0]], lam=[gam], lip=max(gam, 1 / gam) / (1 - w))
    true, gap = 1.0 / (1.0 - w), 1e-3
    error = enclosure_with(block, [1.0], [true + gap]).error[0]
    best = (1 - w) * gap + abs(w) * gap
    assert gap <= best * (1 + 1e-9) <= error <= 2.0 * best * 1.003  # μ is proven to 0.1 %


def test_substitution_carries_an_early_residual_to_the_end():
    # z₁ = x, z₂ = 10z₁, z₃ = 10z₂: the guess is off in z₁ and consistent after it
    W = [[0.0, 0.0, 0.0], [10.0, 0.0, 0.0], [0.0, 10.0, 0.0]]
    lam = [1e4, 1e2, 1.0]
    block = equilibrium(W, [[1.0], [0.0], [0.0]], [[0.0, 0.0, 1.0]], lam=lam, lip=2e4)
    enclosure = enclosure_with(block, [1.0], [2.0, 20.0, 200.0])
    assert enclosure.y[0, 0] == 200.0
    assert 100.0 <= enclosure.error[0] <= 200.0 * (1 + 1e-9)


def test_the_rounding_of_the_readout_is_part_of_the_error():
    G = np.random.default_rng(0).standard_normal((3, 50))
    block = equilibrium(np.zeros((50, 50)), np.ones((50, 1)), G, lam=np.ones(50), lip=100.0)
    network = Network([block])
    encloser = Encloser(network, prove(network))
    x = np.ones((1, 1))
    assert_holds(network, encloser(x), x)
    error = encloser(x).error
    encloser.local[0].readout = (0.0, 0.0)
    assert encloser(x).error < error - 40 * 2.0**-53  # γ_50 of 50 numbers of about 1


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
