"""Each part of an a-priori bound where nothing else covers for it: biases, lengths of sums, what grows."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from certlip.blocks import Affine, Convolution, ConvResidual, Network, Resize, Sigma
from certlip.blocks.activations import Identity
from certlip.certification.enclosure import Encloser
from certlip.certification.enclosure.convolution import convolution_map
from certlip.certification.enclosure.explicit import affine
from certlip.certification.enclosure.image import _Residual, convolution
from certlip.certification.enclosure.near import Near
from certlip.linalg.rigorous.rounding import norm_up
from certlip.lmi import prove

TERMS = 2000
UNIT = 2.0**-53


def exact(values):
    return [Fraction(float(v)) for v in np.ravel(values)]


def one_kernel(K, b):
    """An image of one pixel: Kx + b."""
    return Convolution(torch.from_numpy(K[:, :, None, None]), torch.from_numpy(b), 1, 1, "zero")


@pytest.mark.parametrize("kind", ["affine", "convolution"])
def test_a_large_bias_is_rounded_too(kind):
    """Nothing of a bound of Kx covers what the sum with b loses."""
    rng = np.random.default_rng(0)
    K, b, x = (
        1e-12 * rng.standard_normal((30, 4)),
        rng.standard_normal(30),
        rng.standard_normal((1, 4)),
    )
    block = (
        Affine(torch.from_numpy(K), torch.from_numpy(b)) if kind == "affine" else one_kernel(K, b)
    )
    (proof,) = prove(Network([block])).blocks
    local = (affine if kind == "affine" else convolution)(block, proof)(x)
    truth = [
        sum((p * q for p, q in zip(exact(row), exact(x), strict=True)), own)
        for row, own in zip(K, exact(b), strict=True)
    ]
    off = sum((p - q) ** 2 for p, q in zip(exact(local.y), truth, strict=True))
    assert Fraction(1e-17) ** 2 < off <= Fraction(float(local.delta[0])) ** 2


@pytest.mark.parametrize("kind", ["affine", "convolution"])
def test_sums_may_be_computed_in_any_order(kind):
    """1 + u + u + …, one after the other, stays 1: each of the additions loses u."""
    K, x = np.ones((1, TERMS)), np.full((1, TERMS), UNIT)
    x[0, 0] = 1.0
    b = np.zeros(1)
    block = (
        Affine(torch.from_numpy(K), torch.from_numpy(b)) if kind == "affine" else one_kernel(K, b)
    )
    (proof,) = prove(Network([block])).blocks
    local = (affine if kind == "affine" else convolution)(block, proof)(x)
    total = 0.0
    for term in x[0]:
        total += term
    assert sum(exact(x)) - Fraction(total) == (TERMS - 1) * Fraction(UNIT)
    assert (TERMS - 1) * UNIT <= local.delta[0] <= 1e4 * TERMS * UNIT


class Shifted:
    """A map that is off by d, and says so."""

    numbers = 1

    def __init__(self, K, d):
        self.K, self.d = K, d

    def __call__(self, x):
        y = self.K(x)
        return Near(y.v + self.d, y.error + norm_up(self.d))


@pytest.mark.parametrize("scale", [0.01, 1.0, 7.0])
def test_an_error_inside_a_residual_block_grows_as_much(scale):
    """K = k·I, D = 1/k²: an error of σ is multiplied by 2/k = 2√D exactly."""
    K = torch.full((1, 1, 1, 1), scale).double()
    D, b = torch.full((1,), 1 / scale**2).double(), torch.zeros(1).double()
    block = ConvResidual(K, D * (1 - 1e-12), b, Sigma.of(Identity(), 4), 2, 2, "circular")
    (proof,) = prove(Network([block])).blocks
    maps = [
        convolution_map(K.numpy(), 2, 2, "circular", adjoint=turned) for turned in (False, True)
    ]
    d, x = np.array([[1.0, -2.0, 3.0, 0.5]]), np.array([[0.3, 0.1, -0.7, 1.0]])
    true = _Residual(block, proof, *maps)(x)
    off = _Residual(block, proof, Shifted(maps[0], d), maps[1])(x)
    distance = np.linalg.norm(off.y - true.y)
    assert distance == pytest.approx(2 / scale * np.linalg.norm(d))
    assert distance * (1 - 1e-9) <= off.delta[0] <= distance * (1 + 1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_coordinate_that_is_left_out_still_has_to_be_a_number(bad):
    """What follows sees numbers only, but an input that is no point has no enclosure."""
    W, b = torch.eye(2).double(), torch.zeros(2).double()
    network = Network([Resize(3, 2), Affine(W, b)])
    x = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, bad]])
    found = Encloser(network, prove(network))(x)
    assert np.isfinite(found.y).all()
    assert found.error[0] < 1e-12
    assert found.error[1] == np.inf
