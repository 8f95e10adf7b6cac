"""Chains: the matrix of the dense conditions, multipliers in closed form, and proofs that hold."""

import contextlib
import math
from fractions import Fraction as Q

import numpy as np
import pytest
import torch
from chain_nets import (
    affine,
    chain_of,
    dense,
    equilibrium,
    largest_slope,
    random_chain,
    random_matrices,
    relu,
    steepest_found,
)
from exact import definite
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.blocks import Activation, Normalize, Residual, Sigma
from certlip.blocks.activations import Identity, ReLU, Tanh
from certlip.errors import InconclusiveError, InputError, UnsupportedError
from certlip.linalg.rigorous.ball import Ball
from certlip.lmi import Conditions
from certlip.lmi.chain import Chain, ChainConditions, analytic_chain, prove_chain

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.integers(1, 4), min_size=3, max_size=5)


@settings(deadline=None, max_examples=60)
@given(seeds, shapes, st.floats(0.1, 10.0))
def test_the_matrix_is_that_of_the_dense_conditions(seed, widths, lip):
    chain = random_chain(seed, widths)
    lam = np.random.default_rng(seed).uniform(0.1, 5.0, chain.n)
    mid, rad = dense(ChainConditions(chain).lipschitz(lam, lip))
    same = Conditions(equilibrium(chain)).lipschitz(lam, lip)
    assert (abs(mid - same.mid) <= rad + same.radius()).all()
    assert rad.max() < 1e-12 * (1.0 + abs(mid).max())
    assert np.array_equal(mid, mid.T)
    assert np.array_equal(rad, rad.T)


@pytest.mark.parametrize(
    ("lam", "lip", "match"),
    [
        ([1.0, 0.0], 1.0, r"lam\[1\] = 0.0"),
        ([-1.0, 1.0], 1.0, r"lam\[0\] = -1.0"),
        ([np.nan, 1.0], 1.0, "positive and finite"),
        ([1.0], 1.0, "shape"),
        ([1.0, 1.0], 0.0, "L = 0.0"),
        ([1.0, 1.0], np.nan, "positive and finite"),
    ],
)
def test_what_proves_nothing_is_refused(lam, lip, match):
    with pytest.raises(InputError, match=match):
        prove_chain(random_chain(0, [2, 1, 1, 1]), np.array(lam), lip)


def test_a_ramp_is_never_below_its_slope():
    """f(x) = relu(x) − relu(x − 1) has slope 1; multipliers may not share information between neurons."""
    chain = chain_of([np.array([[1.0], [1.0]]), np.array([[1.0, -1.0]])])
    for lam in np.random.default_rng(0).uniform(0.01, 10.0, (200, 2)):
        for lip in (1e-5, 0.5, 0.999):
            with contextlib.suppress(InconclusiveError):
                assert prove_chain(chain, lam, lip).value >= 1.0


@settings(deadline=None, max_examples=250)
@given(seeds, st.lists(st.integers(1, 3), min_size=3, max_size=4), st.floats(-2, 2))
def test_what_is_proven_is_above_every_slope(seed, widths, exponent):
    """Any Λ at all, and L far too small: whatever comes out is a bound."""
    matrices = random_matrices(seed, widths)
    chain = chain_of(matrices)
    rng = np.random.default_rng(seed)
    truth = largest_slope(matrices)
    guess = analytic_chain(chain)
    for lam in (guess.lam, guess.lam * 10.0 ** rng.uniform(-1, 1, chain.n)):
        try:
            proven = prove_chain(chain, lam, truth * 10.0**exponent)
        except InconclusiveError:
            continue
        assert proven.value >= truth * (1 - 1e-12)
        S = dense(ChainConditions(chain).lipschitz(lam, proven.value))[0]
        assert np.linalg.eigvalsh(S)[0] > 0.0


@settings(deadline=None, max_examples=1000)
@given(seeds, st.lists(st.integers(1, 3), min_size=3, max_size=5))
def test_the_closed_form_lies_between_the_slopes_and_the_norms(seed, widths):
    matrices = random_matrices(seed, widths)
    found = analytic_chain(chain_of(matrices))
    norms = math.prod(np.linalg.norm(A, 2) for A in matrices)
    proven = prove_chain(chain_of(matrices), found.lam, found.lip)
    assert largest_slope(matrices) * (1 - 1e-12) <= proven.value <= norms * (1 + 1e-6)
    assert proven.value <= found.lip * (1 + 1e-6)


def test_the_closed_form_is_far_below_the_norms_when_deep():
    matrices = random_matrices(0, [16] * 21)
    found = analytic_chain(chain_of(matrices))
    assert found.lip < 0.1 * math.prod(np.linalg.norm(A, 2) for A in matrices)
    proven = prove_chain(chain_of(matrices), found.lam, found.lip).value
    assert steepest_found(matrices, 0) <= proven <= found.lip * (1 + 1e-6)


def test_an_exact_referee_agrees():
    """One neuron per layer: what is proven at L is definite in rational arithmetic."""
    chain = chain_of([np.array([[3.0]]), np.array([[0.5]]), np.array([[7.0]])])
    found = analytic_chain(chain)
    assert found.lip == pytest.approx(10.5)
    assert found.lam is not None
    proven = prove_chain(chain, found.lam, found.lip).value
    l1, l2 = (Q(float(v)) for v in found.lam)
    L = Q(proven)
    S = [[2 * l1 - l1 * 9 * l1 / L, -l2 / 2], [-l2 / 2, 2 * l2 - Q(49) / L]]
    assert definite(S)
    assert proven < 10.5 * (1 + 1e-6)


def test_the_error_of_the_matrices_counts():
    """A ball of matrices has the bound of its worst member."""
    A = [np.array([[1.0]]), np.array([[1.0]])]
    wide = Chain((Ball(A[0], np.array([[0.1]])), Ball(A[1])))
    lam = np.array([1.0])
    assert prove_chain(chain_of(A), lam, 1.0).value < 1.0 + 1e-6
    assert prove_chain(wide, lam, 1.0).value >= 1.1**2 / 1.1 - 1e-12


def test_no_hidden_layer_is_a_spectral_norm_and_zero_is_constant():
    A = np.random.default_rng(0).normal(size=(3, 4))
    norm = np.linalg.norm(A, 2)
    assert norm <= prove_chain(chain_of([A])).value * (1 + 1e-12) < norm * (1 + 1e-9)
    flat = chain_of([A, np.zeros((2, 3))])
    assert prove_chain(flat).value == 0.0
    assert analytic_chain(flat).lip == 0.0
    nearly = Chain((Ball(A), Ball(np.zeros((2, 3)), np.full((2, 3), 1e-9))))
    with pytest.raises((InputError, InconclusiveError)):
        prove_chain(nearly)


def test_blocks_become_a_chain():
    rng = np.random.default_rng(0)
    A, B, C = (rng.normal(size=s) for s in ((3, 2), (4, 3), (2, 4)))
    chain = Chain.of([affine(A), relu(3), affine(B), relu(4), affine(C)])
    assert all(np.array_equal(a.mid, b) for a, b in zip(chain.A, (A, B, C), strict=True))
    assert chain.widths == [3, 4]
    assert chain.n == 7


def test_affine_blocks_in_a_row_are_one_with_its_error():
    rng = np.random.default_rng(0)
    A, B, C = (rng.normal(size=s) for s in ((3, 2), (4, 3), (2, 4)))
    std = torch.tensor([0.3, 7.0]).double()
    normalize = Normalize(torch.zeros(2).double(), std)
    chain = Chain.of([normalize, affine(A), affine(B), relu(4), relu(4), affine(C)])
    assert len(chain.A) == 2
    np.testing.assert_allclose(chain.A[0].mid, B @ A / std.numpy(), rtol=1e-12)
    assert (chain.A[0].radius() > 0.0).all()
    assert chain.A[0].radius().max() < 1e-12


def test_activations_at_the_ends_meet_identities():
    mixed = Sigma(((ReLU(), 1), (Tanh(), 1), (Identity(), 1)))
    chain = Chain.of([Activation(mixed), affine(np.ones((2, 3))), relu(2)])
    assert [A.shape for A in chain.A] == [(3, 3), (2, 3), (2, 2)]
    assert np.array_equal(chain.A[0].mid, np.eye(3))
    assert np.array_equal(chain.A[-1].mid, np.eye(2))
    only = Chain.of([relu(3)])
    found = analytic_chain(only)
    assert 1.0 <= prove_chain(only, found.lam, found.lip).value < 1.0 + 1e-6


def test_what_is_no_chain_is_refused():
    residual = Residual(torch.eye(2).double(), torch.ones(2).double(), torch.zeros(2).double(),
                        Sigma.of(ReLU(), 2))  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"block 1 \(residual\)"):
        Chain.of([affine(np.eye(2)), residual])
    with pytest.raises(InputError, match="at least one"):
        Chain(())
    with pytest.raises(InputError, match=r"\(3, 2\) is followed by A_1 of shape \(1, 2\)"):
        chain_of([np.ones((3, 2)), np.ones((1, 2))])
    with pytest.raises(InputError, match="rows"):
        random_chain(0, [2, 3, 2]).with_rows(np.ones((1, 3)))


def test_rows_are_differences_of_outputs():
    matrices = random_matrices(3, [3, 4, 3])
    pair = chain_of(matrices).with_rows(np.array([[1.0, -1.0, 0.0]]))
    found = analytic_chain(pair)
    proven = prove_chain(pair, found.lam, found.lip).value
    difference = matrices[1][:1] - matrices[1][1:2]
    assert largest_slope([matrices[0], difference]) <= proven * (1 + 1e-12)
    whole = analytic_chain(chain_of(matrices)).lip
    assert proven <= math.sqrt(2.0) * whole * (1 + 1e-6)
