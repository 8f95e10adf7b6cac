"""Enclosures of LBENs on images that end in zeros: whatever the guess, the true output is inside."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from padded_nets import padded, written_out

from certlip.blocks import Network
from certlip.certification.enclosure import Encloser
from certlip.certification.enclosure.near import Near
from certlip.certification.enclosure.padded_equilibrium import PaddedEquilibriumEncloser, _Matrix
from certlip.lmi import prove
from certlip.lmi.rules.padded_equilibrium import prove_padded_equilibrium


def truth(block, x):
    """z* and y by Newton's method on the active units, dense."""
    W, U, _, _ = written_out(block)
    b_z = np.repeat(block.b_z.numpy(), block.pixels)
    states = []
    for c in x @ U.T + b_z:
        z = np.zeros(block.n)
        for _ in range(20000):
            new = z + 0.05 * (np.maximum(W @ z + c, 0) - z)
            if np.array_equal(new, z) or np.abs(new - z).max() < 1e-17:
                break
            z = new
        D = (W @ z + c > 0).astype(float)
        states.append(np.linalg.solve(np.eye(block.n) - D[:, None] * W, D * c))
    z = np.array(states)
    return z, z @ block.G.numpy().T + block.b_y.numpy()


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-12, 1e-6, 1e-2]))
def test_the_true_output_is_inside(seed, off):
    block = padded(seed)
    encloser = PaddedEquilibriumEncloser(block, prove_padded_equilibrium(block))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, block.in_width))
    z, y = truth(block, x)
    guess = z + off * rng.standard_normal(z.shape)
    local = encloser(x, guess)
    assert (np.linalg.norm(local.y - y, axis=1) <= local.delta + 1e-12).all()
    assert (local.delta >= local.residual * 1e-3).all()
    if off == 0.0:
        assert local.delta.max() < 1e-9
    W, U, _, _ = written_out(block)
    e = guess - np.maximum(guess @ W.T + x @ U.T + np.repeat(block.b_z.numpy(), block.pixels), 0)
    assert (local.residual >= np.linalg.norm(e, axis=1) - 1e-12).all()
    assert local.residual.max() <= np.linalg.norm(e, axis=1).max() * 1.001 + 1e-9


def test_a_network_is_enclosed_tightly():
    block = padded(4)
    network = Network([block])
    x = np.random.default_rng(0).standard_normal((4, block.in_width))
    found = Encloser(network, prove(network))(x)
    assert np.abs(found.y - truth(block, x)[1]).max() <= found.error.max()
    assert found.error.max() < 1e-7


def test_guesses_that_are_no_numbers_prove_nothing():
    block = padded(0)
    encloser = PaddedEquilibriumEncloser(block, prove_padded_equilibrium(block))
    x = np.zeros((2, block.in_width))
    z = np.zeros((2, block.n))
    z[0, 3], z[1, 0] = np.nan, np.inf
    assert not np.isfinite(encloser(x, z).delta).any()


def test_the_rounding_of_a_product_counts_where_numbers_are_denormal():
    M, x = np.array([[3.1e-310, 2.7e-310]]), np.array([[1.1e150, 0.7e150]])
    y = _Matrix(M)(Near.exact(x))
    true = sum(Fraction(a) * Fraction(b) for a, b in zip(M[0], x[0], strict=True))
    assert y.v[0, 0] != true
    assert abs(Fraction(y.v[0, 0]) - true) <= Fraction(y.error[0])
