"""The ladder of Lipschitz bounds: whatever it prints bounds what the network can do."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lmi_nets import block_of, mondeq_block

from certlip.blocks import (
    Activation,
    Affine,
    Convolution,
    GroupSort,
    Network,
    Normalize,
    Pooling,
    Residual,
    Sigma,
)
from certlip.blocks.activations import LeakyReLU, ReLU
from certlip.linalg.rigorous import UpperBound
from certlip.lmi.chain import Chain
from certlip.lmi.forms import Forms
from certlip.lmi.ladder import RUNGS, Best, Budget, Stretch, climb
from certlip.lmi.ladder.jointly import runs
from certlip.lmi.ladder.pairs import best_pairs
from certlip.lmi.solvers.structured import Structured
from certlip.lmi.whole import states, whole
from certlip.solvers import Evaluator


def affine(rng, rows, columns, scale=1.0):
    W = scale * torch.from_numpy(rng.standard_normal((rows, columns))) / columns**0.5
    return Affine(W, torch.from_numpy(rng.standard_normal(rows)))


def residual(rng, d, k):
    """An SLL layer with T of (9) for q = 1."""
    W = rng.standard_normal((d, k))
    D = 1.0 / np.abs(W.T @ W).sum(axis=1)
    b = torch.from_numpy(rng.standard_normal(k))
    return Residual(torch.from_numpy(W), torch.from_numpy(D), b, Sigma.of(ReLU(), k))


def act(n):
    return Activation(Sigma.of(ReLU(), n))


def mixed(seed):
    """All dense kinds one after the other; 4 → 3."""
    rng = np.random.default_rng(seed)
    normalize = Normalize(torch.zeros(4).double(), torch.from_numpy(rng.uniform(0.5, 2.0, 4)))
    return Network(
        [
            normalize,
            affine(rng, 4, 4),
            residual(rng, 4, 3),
            residual(rng, 4, 2),
            affine(rng, 5, 4),
            act(5),
            affine(rng, 4, 5),
            mondeq_block(seed, n=3, d=4, q=4),
            affine(rng, 3, 4),
        ]
    )


def mlp(seed, widths=(3, 6, 5, 3)):
    rng = np.random.default_rng(seed)
    blocks = []
    for k, (i, o) in enumerate(itertools.pairwise(widths)):
        blocks += [act(i)] if k else []
        blocks.append(affine(rng, o, i, 1.5))
    return Network(blocks)


def largest_slope(network, seed=0, rows=None, tries=200):
    """The largest ‖J‖₂ at random points: a lower bound of the Lipschitz constant."""
    evaluator = Evaluator(network, dtype=torch.float64, tol=1e-12)
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((tries, network.in_width)))

    def y(v):
        return evaluator(v[None])[0]

    jacobian = torch.func.vmap(torch.func.jacrev(y))
    try:
        J = jacobian(3.0 * x)
    except RuntimeError:  # an equilibrium cannot be mapped over
        J = torch.stack([torch.autograd.functional.jacobian(y, 3.0 * v) for v in x[:40]])
    J = J if rows is None else rows @ J
    return float(torch.linalg.matrix_norm(J, 2).max())


@pytest.mark.parametrize("seed", range(4))
def test_the_whole_of_a_mixed_network_is_the_network(seed):
    network = mixed(seed)
    forms = whole(network.blocks)
    assert forms.n == states(network.blocks) == 4 + 3 + 2 + 5 + 3
    # without biases both are the same function of x − x', read off at its Jacobians
    W, U, G = (torch.from_numpy(ball.mid) for ball in (forms.W, forms.U, forms.G))
    bare = Network([without_bias(block) for block in network.blocks])
    evaluator = Evaluator(bare, dtype=torch.float64, tol=1e-13)
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((20, 4)))
    z = torch.zeros(20, forms.n, dtype=torch.float64)
    linear = torch.zeros(forms.n, dtype=torch.bool)
    linear[:4] = True  # the states that pass x on to the residual blocks
    for _ in range(5000):
        v = z @ W.T + x @ U.T
        new = torch.where(linear, v, v.relu())
        damped = torch.cat([new[:, :14], z[:, 14:] + 0.1 * (new - z)[:, 14:]], dim=1)
        if float((damped - z).abs().max()) < 1e-13:
            break
        z = damped
    assert torch.allclose(z @ G.T, evaluator(x), atol=1e-9)


def without_bias(block):
    if isinstance(block, Affine):
        return Affine(block.W, torch.zeros_like(block.b))
    if isinstance(block, Residual):
        return Residual(block.W, block.D, torch.zeros_like(block.b), block.sigma)
    return block


def test_products_of_the_whole_are_enclosed():
    rng = np.random.default_rng(0)
    first, second = affine(rng, 3, 3), affine(rng, 3, 3)
    forms = whole([first, second, act(3), affine(rng, 2, 3)])
    exact = [
        [sum((_f(a) * _f(b) for a, b in zip(row, column, strict=True))) for column in first.W.T]
        for row in second.W
    ]
    error = np.array(
        [
            [abs(float(e - _f(m))) for e, m in zip(*r, strict=True)]
            for r in zip(exact, forms.U.mid, strict=True)
        ]
    )
    assert (error <= forms.U.radius()).all()
    assert (forms.U.radius() > 0).all()


def _f(x):
    return Fraction(float(x))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [mixed, mlp])
def test_no_rung_is_below_what_the_network_does_and_none_above_the_one_before(make, seed):
    network = make(seed)
    ladder = climb(network)
    slope = largest_slope(network, seed)
    bounds = [rung.lip.value for rung in ladder.rungs]
    assert bounds == sorted(bounds, reverse=True)
    assert ladder.lip.value >= slope
    assert bounds[-1] < bounds[0]  # the LMI of the network is worth something
    for a, b in itertools.combinations(range(3), 2):
        row = torch.zeros(1, 3, dtype=torch.float64)
        row[0, a], row[0, b] = 1.0, -1.0
        assert ladder.pairs[a, b] == ladder.pairs[b, a] >= largest_slope(network, seed, row)
        assert ladder.pairs[a, b] <= 2**0.5 * ladder.lip.value * (1 + 1e-12)
    assert not ladder.pairs_reason


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_the_slope_over_all_patterns_is_below_the_bound_of_a_random_network(seed):
    rng = np.random.default_rng(seed)
    widths = [int(w) for w in rng.integers(1, 4, 4)]
    network = mlp(seed, widths)
    A, B, C = (block.W.numpy() for block in network.blocks[::2])
    largest = 0.0
    for p in itertools.product((0.0, 1.0), repeat=widths[1]):
        for q in itertools.product((0.0, 1.0), repeat=widths[2]):
            largest = max(largest, np.linalg.norm(C @ np.diag(q) @ B @ np.diag(p) @ A, 2))
    assert climb(network, pairs=False).lip.value >= largest


def test_relu_of_x_minus_relu_of_x_minus_one_has_slope_one():
    first = Affine(torch.ones(2, 1).double(), torch.tensor([0.0, -1.0]).double())
    last = Affine(torch.tensor([[1.0, -1.0]]).double(), torch.zeros(1).double())
    ladder = climb(Network([first, act(2), last]))
    assert 1.0 <= ladder.lip.value < 2.0


def test_activations_other_than_relu_and_kinds_without_a_dense_form_stay_between_runs():
    rng = np.random.default_rng(0)
    leaky = Activation(Sigma.of(LeakyReLU(0.3), 4))
    sort = GroupSort(4, 2, 1)
    blocks = [affine(rng, 4, 3), leaky, affine(rng, 4, 4), sort, act(4), affine(rng, 2, 4)]
    network = Network(blocks)
    assert [(run.start, run.stop) for run in runs(network)] == [(0, 3), (4, 6)]
    ladder = climb(network)
    assert ladder.lip.value >= largest_slope(network)


def test_small_images_are_written_out_and_large_ones_keep_the_bounds_of_their_blocks():
    rng = np.random.default_rng(1)
    K = torch.from_numpy(rng.standard_normal((2, 1, 3, 3))) / 3
    conv = Convolution(K, torch.zeros(2).double(), 4, 4, "zero")
    network = Network(
        [conv, Activation(Sigma.of(ReLU(), 32)), Pooling(2, 4, 4, 2), affine(rng, 3, 8)]
    )
    ladder = climb(network)
    assert largest_slope(network) <= ladder.lip.value < ladder.rungs[2].lip.value
    large = Convolution(K, torch.zeros(2).double(), 64, 64, "zero")
    network = Network([large, Activation(Sigma.of(ReLU(), 2 * 64**2))])
    assert climb(network, pairs=False).lip == climb(network, pairs=False).rungs[0].lip


def test_time_and_memory_run_out_but_every_bound_stays_proven():
    network = mixed(0)
    late = climb(network, Budget(deadline=time.monotonic() - 1.0))
    assert late.lip.value >= largest_slope(network)
    assert "no time" in late.rungs[-1].stretches[0].reason
    assert "no time" in late.pairs_reason
    small = climb(network, Budget(memory=1000.0))
    assert "GiB" in small.rungs[-1].stretches[0].reason
    assert small.lip.value >= climb(network).lip.value


def test_an_equilibrium_that_is_not_proven_well_posed_bounds_nothing():
    ill = block_of([[2.0]], [[1.0]], [[1.0]])
    ladder = climb(Network([affine(np.random.default_rng(0), 1, 2), ill]))
    assert ladder.lip is None
    assert ladder.blocks[1] is None
    assert ladder.blocks[0] is not None
    assert ladder.pairs is None
    assert "well-posed" in ladder.rungs[-1].stretches[0].reason


def test_the_best_cover_of_a_network_mixes_rungs():
    best = Best()
    for start, stop, value in [(0, 1, 2.0), (1, 2, 3.0), (2, 3, 5.0), (0, 2, 4.0), (1, 3, 20.0)]:
        best.add(Stretch(start, stop, UpperBound(value), 0.0))
    assert best.of(0, 3).value == 20.0  # 4 · 5, not 2 · 3 · 5 nor 2 · 20
    best.add(Stretch(0, 2, UpperBound(9.0), 0.0))  # never replaced by a worse one
    assert best.of(0, 3).value == 20.0
    assert best.of(2, 3).value == 5.0
    assert Best().of(0, 1) is None
    best.add(Stretch(3, 4, None, 0.0, reason="why"))
    assert best.of(0, 4) is None


def test_rungs_have_names_of_their_own():
    assert len({rung.name for rung in RUNGS}) == len(RUNGS)


def test_forms_of_the_whole_are_forms():
    assert isinstance(whole(mlp(0).blocks), Forms)


def diagonal(*factors):
    """Diagonal maps of R² with activations between them."""
    blocks = []
    for factor in factors:
        W = torch.diag(torch.tensor(factor, dtype=torch.float64))
        blocks += [act(2)] if blocks else []
        blocks.append(Affine(W, torch.zeros(2, dtype=torch.float64)))
    return Network(blocks)


def test_pairs_need_a_bound_of_what_lies_before_the_last_block():
    """The bound of the network may be far below that of all blocks but the last."""
    network = diagonal((1e3, 1e3), (1e-3, 1e-3))
    best = Best()
    best.add(Stretch(0, 3, UpperBound(1.0), 0.0))
    found, _ = best_pairs(network, best, Budget(deadline=time.monotonic() - 1.0))
    assert found is not None
    assert found[0, 1] >= 2**0.5
    best.add(Stretch(0, 2, UpperBound(500.0), 0.0))  # with one, ‖w_a − w_b‖ counts
    found, _ = best_pairs(network, best, Budget(deadline=time.monotonic() - 1.0))
    assert found is not None
    assert found[0, 1] == pytest.approx(0.5 * 2**0.5)


def test_pairs_above_the_largest_double_are_not_bounded():
    ladder = climb(diagonal((1e154, 1e154), (1.75e154, 1.75e154)))
    assert ladder.lip is not None
    assert ladder.pairs is None
    assert "overflows" in ladder.pairs_reason


def test_nothing_of_the_order_of_the_inputs_squared_is_made():
    rng = np.random.default_rng(0)
    d = 4000  # a square matrix of them takes 128 MB
    ones = torch.ones(d, dtype=torch.float64)
    blocks = [Normalize(0 * ones, 2 * ones), affine(rng, 3, d), act(3), affine(rng, 2, 3)]
    for of in (whole, Chain.of):
        tracemalloc.start()
        of(blocks)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40e6


def test_what_a_chain_needs_grows_with_its_layers_not_with_its_inputs():
    for d, depth in ((784, 50), (12288, 5)):
        (run,) = runs(mlp(0, [d, *[128] * depth, 10]))
        assert run.too_large(Budget(memory=4 * 2.0**30)) is None
        assert "GiB" in (run.too_large(Budget(memory=1e6)) or "")


def test_rules_that_are_no_norms_are_not_proven_twice():
    closed = climb(mixed(0)).rungs[1].stretches
    assert [stretch.start for stretch in closed] == [2, 3, 7]
    late = climb(mixed(0), Budget(deadline=time.monotonic() - 1.0)).rungs[1]
    assert {stretch.reason for stretch in late.stretches} == {"no time left"}


def pair_slope(network, a, b):
    row = torch.zeros(1, network.classes, dtype=torch.float64)
    row[0, a], row[0, b] = 1.0, -1.0
    return largest_slope(network, 0, row)


@pytest.mark.parametrize("together", [0, 400])
def test_pairs_of_chains_one_by_one_or_together_bound_their_slopes(monkeypatch, together):
    network = mlp(1)
    expected = climb(network).pairs
    monkeypatch.setattr("certlip.lmi.ladder.pairs.LARGEST_DENSE_CHAIN", together)
    found = climb(network).pairs
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for a, b in itertools.combinations(range(3), 2):
        assert found[a, b] >= pair_slope(network, a, b)


def test_a_solver_that_claims_too_much_for_pairs_is_not_believed(monkeypatch):
    minimise = Structured.minimise

    def lying(self, problem, start=None):
        return [replace(c, lip=1e-3 * c.lip) for c in minimise(self, problem, start)]

    network = mlp(1)
    honest = climb(network).pairs
    monkeypatch.setattr(Structured, "minimise", lying)
    found = climb(network).pairs
    np.testing.assert_allclose(found, honest, rtol=2e-3)


def test_rounding_of_what_the_outputs_read_counts():
    rng = np.random.default_rng(0)
    products = whole([act(3), affine(rng, 3, 3), affine(rng, 2, 3)])
    assert (products.G.radius() > 0).all()
    scaled = whole([affine(rng, 3, 3), residual(rng, 3, 2)])
    assert (scaled.G.radius()[:, -2:] > 0).all()


def test_pairs_count_what_lies_before_a_deep_chain(monkeypatch):
    rng = np.random.default_rng(3)
    scale = Affine(3.0 * torch.eye(4).double(), torch.zeros(4).double())
    tail = [affine(rng, 5, 4), act(5), affine(rng, 3, 5)]
    alone = Network(tail)
    network = Network([scale, GroupSort(4, 2, 1), *tail])
    monkeypatch.setattr("certlip.lmi.ladder.pairs.LARGEST_DENSE_CHAIN", 0)
    behind, own = climb(network).pairs, climb(alone).pairs
    assert (behind >= 3.0 * own).all()
    np.testing.assert_allclose(behind, 3.0 * own, rtol=1e-4)
