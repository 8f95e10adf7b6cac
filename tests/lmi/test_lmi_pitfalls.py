"""Mistakes of published implementations are caught whichever way the multipliers are found."""

import contextlib

import numpy as np
import pytest
import torch
from lmi_nets import block_of, largest_pattern_slope, parts_with_margin

from certlip.blocks import Network, Residual, Sigma
from certlip.blocks.activations import ReLU
from certlip.errors import InconclusiveError
from certlip.lmi.check import check
from certlip.lmi.rules import apply_rule
from certlip.lmi.search import Search
from certlip.lmi.solvers import SOLVERS
from certlip.reparam import equilibrium_from_network

METHODS = [Search("structured"), Search("cvxpy", "clarabel")]
every_method = pytest.mark.parametrize("search", METHODS, ids=["structured", "cvxpy"])


def residual_chain(D_of, seed=0, width=3, depth=1, hidden=4):
    """Layers x − 2W D σ(Wᵀx) as one equilibrium, D as some implementation computes it."""
    rng = np.random.default_rng(seed)
    blocks = []
    for _ in range(depth):
        W = rng.standard_normal((width, hidden))
        numbers = (torch.from_numpy(a) for a in (W, D_of(W), np.zeros(hidden)))
        blocks.append(Residual(*numbers, Sigma.of(ReLU(), hidden)))
    (block,) = equilibrium_from_network(Network(blocks)).blocks
    return block_of(block.W, block.U, block.G)


@every_method
def test_v_times_v_is_bounded_by_no_less_than_its_slopes(search):
    """W rebuilt with V·V in place of VᵀV: the L it was built for is gone, whoever looks for Λ."""
    steeper = 0
    for seed in range(3):
        parts, V = parts_with_margin(seed, n=4)
        wrong = parts["W"] + (V.T @ V - V @ V) / parts["lam"][:, None]
        block = block_of(wrong, parts["U"], parts["G"])
        truth = largest_pattern_slope(block)
        try:
            assert apply_rule(block, search=search).lip.value >= truth
        except InconclusiveError:
            steeper += 1
        if truth > 2.0:
            steeper += 1
            with pytest.raises(InconclusiveError):
                apply_rule(block, lip=2.0, search=search)
    assert steeper > 0


@every_method
def test_live_rows_of_padded_channels_count(search):
    """A coordinate that a masked LMI leaves out acts through U and G with slope 50."""
    parts, _ = parts_with_margin(1)
    W = np.pad(parts["W"], ((0, 1), (0, 1)))
    U = np.vstack([parts["U"], [[50.0, 0.0, 0.0, 0.0]]])
    block = block_of(W, U, np.hstack([parts["G"], np.ones((3, 1))]))
    truth = largest_pattern_slope(block)
    assert truth > 50
    assert apply_rule(block, search=search).lip.value >= truth
    with pytest.raises(InconclusiveError):
        apply_rule(block, lip=2.0, search=search)


def power_iteration(W, steps=3):
    v = np.ones(W.shape[1])
    for _ in range(steps):
        v = W.T @ W @ v / np.linalg.norm(W.T @ W @ v)
    return np.full(W.shape[1], 1.0 / np.linalg.norm(W @ v) ** 2)


def test_cpl_with_a_power_iteration_is_not_one_lipschitz():
    above = 0
    for seed in range(3):
        block = residual_chain(power_iteration, seed)
        truth = largest_pattern_slope(block)
        with contextlib.suppress(InconclusiveError):
            assert apply_rule(block, search=METHODS[0]).lip.value >= truth
        if truth > 1 + 1e-6:
            above += 1
            with pytest.raises(InconclusiveError):
                apply_rule(block, lip=1.0, search=METHODS[0])
    assert above >= 2


def test_sll_with_a_constant_added_to_q_is_not_one_lipschitz():
    """1/(q + 10⁻⁶)·…·q: T too small by the factor 1 + 10⁻⁶/q; one column makes the rule tight."""

    def D_of(W, q=1e-4):
        return (1 + 1e-6 / q) / (W.T @ W).diagonal()

    block = residual_chain(D_of, hidden=1)
    truth = largest_pattern_slope(block)
    assert 1.019 < truth <= apply_rule(block, search=METHODS[0]).lip.value
    with pytest.raises(InconclusiveError):
        apply_rule(block, lip=1.0, search=METHODS[0])


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("seed", range(2))
def test_a_singular_condition_ends_with_a_proof_or_says_so(depth, seed):
    """Of an SLL chain (10) is singular at its L for every Λ; raising L is what is left."""

    def sll(W):
        return 1.0 / np.abs(W.T @ W).sum(axis=1)

    block = residual_chain(sll, seed, depth=depth)
    truth = largest_pattern_slope(block)
    rows, bound = check(Network([block]), ("3", "10"), searches=[METHODS[0]])
    assert bound is None or truth * (1 - 1e-12) <= bound.value <= 1.001
    assert all(row["outcome"] in ("proven", "unknown") for row in rows)


def test_multipliers_that_couple_units_are_not_offered():
    """Every solver answers with a diagonal, one number per unit: there is no other kind of candidate."""
    block = block_of(np.zeros((2, 2)), [[1.0], [1.0]], [[1.0, -1.0]])
    for name, kind in SOLVERS.items():
        if kind.missing() is None:
            method = kind.method
            lam = apply_rule(block, search=Search(method, name)).lam
            assert lam.shape == (2,)
            assert not any("coupl" in option or "network" in option for option in kind.known())
