"""Conditions that the checker proves per frequency against those of the matrices of all pixels."""

import conv_nets
import numpy as np
import pytest
from exact_maps import F, matrix, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.checker.linear import Linear
from certlip.checker.rigorous import condition_3, condition_10, condition_residual


@settings(deadline=None, max_examples=40)
@given(seeds, st.floats(-14, -1), st.booleans())
def test_an_accepted_residual_condition_on_images_is_true(seed, exponent, above):
    """One channel, one tap of two pixels: the blocks are numbers whose squares are rational."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=2)
    K = np.array([[[[a, b]]]])
    largest = max((F(a) + F(b)) ** 2, (F(a) - F(b)) ** 2)
    D = np.array([float(1 / largest) * (1 + (1 if above else -1) * 10**exponent)])
    holds = all(condition_residual(A, D, 0.0) for A in Linear(K, (1, 2)).spectra(9))
    assert not holds or F(D[0]) * largest <= 1
    assert holds or above or exponent < -12


def dense_conditions(block, lam, lip, mu):
    """(10) and (3) of the matrices of all pixels, by their smallest eigenvalues."""
    sides = (block.height, block.width)
    W, U, G = (matrix(Linear(k.numpy(), sides)) for k in (block.W, block.U, block.G))
    lam = np.repeat(lam, sides[0] * sides[1])
    H = lam[:, None] * W
    M = 2 * np.diag(lam) - H - H.T
    lam_U = lam[:, None] * U
    ten = M - G.T @ G / lip - lam_U @ lam_U.T / lip
    three = M - 2 * mu * np.diag(lam)
    return np.linalg.eigvalsh(ten)[0], np.linalg.eigvalsh(three)[0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sides", [(2, 3), (3, 2), (4, 4)])
def test_conditions_per_frequency_are_those_of_the_matrices(seed, sides):
    block = conv_nets.conv_lben(seed, 2, 1, 2, *sides)
    lam = 1.0 / block.origin.vectors["psi"].numpy()
    W, U, G = (Linear(k.numpy(), sides) for k in (block.W, block.U, block.G))
    for lip in (1.5, 1.2, 0.9, 0.5):
        for mu in (0.01, 0.1, 0.5, 1.5):
            ten, three = dense_conditions(block, lam, lip, mu)
            for least, holds in (
                (
                    ten,
                    [
                        condition_10(w, u.gram(), g.T.gram(), lam, lip)
                        for w, u, g in zip(W.spectra(), U.spectra(), G.spectra(), strict=True)
                    ],
                ),
                (three, [condition_3(w, lam, mu) for w in W.spectra()]),
            ):
                assert abs(least) < 1e-9 or all(holds) == (least > 0)
