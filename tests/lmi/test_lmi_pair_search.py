"""Bounds of differences of two logits: proven for the stored numbers, and close to what is attained."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from exact import definite, lipschitz
from hypothesis import given, settings
from hypothesis import strategies as st
from lmi_nets import block_of, mondeq_block, parts_with_margin

from certlip.blocks import Affine, Network, Normalize
from certlip.errors import InconclusiveError
from certlip.interop import convert
from certlip.linalg.rigorous.ball import Ball
from certlip.lmi import Conditions, pair_search, prove, prove_pairs, rows
from certlip.lmi.closed_form import best_multiple
from certlip.lmi.multiples import row_multiples
from certlip.lmi.pairs import lowered, pair_bounds, pair_kinds
from certlip.lmi.problem import Problem
from certlip.lmi.rows import prove_row
from certlip.lmi.search import Search
from certlip.lmi.solvers.structured import Structured
from certlip.solvers import Evaluator

SEARCHES = [Search(), Search("structured")]


def affine(W):
    W = torch.tensor(np.asarray(W, dtype=np.float64))
    return Affine(W, torch.zeros(len(W), dtype=torch.float64))


def with_pairs(network, search=None):
    return prove_pairs(network, prove(network, search=search), search)


def pairs_of(network, search=None):
    return with_pairs(network, search).blocks[-1].pairs


def slope_of(block, row):
    """The largest slope of row·z over all ReLU patterns."""
    W, U = block.W.numpy(), block.U.numpy()
    eye = np.eye(len(W))
    patterns = (np.array(p) for p in itertools.product((0.0, 1.0), repeat=len(W)))
    return max(np.linalg.norm(row @ np.linalg.solve(eye - J[:, None] * W, J[:, None] * U))
               for J in patterns)  # fmt: skip


@pytest.mark.parametrize("search", SEARCHES, ids=lambda s: s.method)
@given(seed=st.integers(0, 2**31))
@settings(max_examples=15)
def test_no_pattern_is_steeper_than_its_pair(search, seed):
    block = mondeq_block(seed)
    pairs = pairs_of(Network([block]), search)
    if pairs is None:
        return
    for a, j, lip in zip(pairs.a, pairs.j, pairs.lip, strict=True):
        row = block.G.numpy()[a] - block.G.numpy()[j]
        assert lip >= slope_of(block, row) * (1 - 1e-12)


@pytest.mark.parametrize("search", SEARCHES, ids=lambda s: s.method)
@given(seed=st.integers(0, 2**31))
@settings(max_examples=15)
def test_condition_10_holds_exactly_with_the_exact_difference_of_the_rows(search, seed):
    """LDLᵀ in rational arithmetic, with G_a − G_j that no double holds."""
    parts, _ = parts_with_margin(seed, n=4, d=3, q=3)
    parts["G"] *= 10.0 ** np.random.default_rng(seed).integers(-8, 1, (3, 1))  # (10) still holds
    block = block_of(**parts, lip=2.0)
    pairs = pairs_of(Network([block]), search)
    for p in range(0 if pairs is None else len(pairs)):
        W, U, G = (array.numpy() for array in (block.W, block.U, block.G))
        exact = Difference(G[pairs.a[p]], G[pairs.j[p]])
        assert definite(lipschitz_of_row(W, U, exact, pairs.lam[p], pairs.lip[p]))


class Difference(list):
    """G_a − G_j in rational arithmetic."""

    def __init__(self, a, j):
        super().__init__(Fraction(float(x)) - Fraction(float(y)) for x, y in zip(a, j, strict=True))


def lipschitz_of_row(W, U, row, lam, lip):
    """The matrix of (10) for one exact row."""
    none = np.zeros((1, len(W)))
    M = lipschitz(W, U, none, lam, lip)
    n = range(len(W))
    return [[M[i][k] - row[i] * row[k] / Fraction(float(lip)) for k in n] for i in n]


@pytest.mark.parametrize("w", [-3.0, 0.0, 0.9])
def test_one_unit_gets_its_slope(w):
    """y = Gz, z = relu(wz + u·x): the slope of y_a − y_j is |g_a − g_j|‖u‖/(1 − w)."""
    block = block_of([[w]], [[3.0, -4.0]], [[1.0], [0.25], [-2.0]])
    pairs = pairs_of(Network([block]), Search("structured"))
    slopes = {(0, 1): 0.75, (0, 2): 3.0, (1, 2): 2.25}
    found = dict(zip(zip(pairs.a.tolist(), pairs.j.tolist(), strict=True), pairs.lip, strict=True))
    assert found.keys() <= slopes.keys()
    assert (0, 1) in found
    for pair, lip in found.items():
        true = slopes[pair] * 5.0 / (1.0 - w)
        assert true <= lip <= true * (1 + 1e-4)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20)
def test_best_multiples_are_those_of_a_search_over_t(seed):
    block = mondeq_block(seed)
    lam = np.exp(0.1 * np.random.default_rng(seed).standard_normal(6))
    rows = block.G.numpy()
    found = row_multiples(block.W.numpy(), block.U.numpy(), rows, lam)
    problem = Problem.of_rows(block, torch.from_numpy(rows))
    for k in range(len(rows)):
        t, lip = best_multiple(replace(problem, G=problem.G[k : k + 1]), lam)
        if found is None:
            assert lip == np.inf
            continue
        assert found[1][k] == pytest.approx(lip, rel=1e-6)
        np.testing.assert_allclose(found[0][k], t * lam, rtol=1e-2)


def test_a_constant_map_or_a_wrong_matrix_has_no_multiples():
    rows, lam = np.ones((1, 2)), np.ones(2)
    assert row_multiples(np.zeros((2, 2)), np.zeros((2, 3)), rows, lam) is None
    assert row_multiples(2.0 * np.eye(2), np.ones((2, 3)), rows, lam) is None
    assert (
        pairs_of(Network([block_of(np.zeros((2, 2)), np.zeros((2, 3)), np.eye(2), [1.0, 1.0])]))
        is None
    )


def test_a_pair_beats_the_root_of_two():
    network = Network([mondeq_block(3)])
    proof = prove(network)
    plain = pair_bounds(network, proof.lip, proof.before_last())
    multiples = lowered(plain, prove_pairs(network, proof))
    solved = lowered(plain, with_pairs(network, Search("structured")))
    every = np.triu_indices(3, 1)
    assert (solved[every] < 0.9 * plain[every]).all()
    assert (multiples[every] <= plain[every]).all()
    assert (solved[every] <= multiples[every] * (1 + 1e-4)).all()
    np.testing.assert_array_equal(solved, solved.T)


def mutants_of(pairs):
    rng = np.random.default_rng(0)
    yield "Λ halved", pairs.lam / 2
    yield "Λ doubled", pairs.lam * 2
    yield "Λ of another pair", np.roll(pairs.lam, 1, axis=0)
    yield "units swapped", pairs.lam[:, ::-1]
    yield "one λ ten times larger", pairs.lam * np.where(np.arange(pairs.lam.shape[1]) == 2, 10, 1)
    yield "Λ disturbed", pairs.lam * np.exp(rng.standard_normal(pairs.lam.shape))
    yield "one λ negative", pairs.lam * np.where(np.arange(pairs.lam.shape[1]) == 1, -1, 1)
    yield (
        "a λ that is no number",
        pairs.lam * np.where(np.arange(pairs.lam.shape[1]) == 1, np.nan, 1),
    )


def test_wrong_multipliers_prove_only_what_is_true():
    """Either nothing, or a larger L that holds for the Λ that is returned with it."""
    block = mondeq_block(5)
    pairs = pairs_of(Network([block]), Search("structured"))
    conditions, G = Conditions(block), Ball(block.G.numpy())
    W, U = block.W.numpy(), block.U.numpy()
    larger = none = 0
    for name, lam in mutants_of(pairs):
        for p, (a, j) in enumerate(zip(pairs.a, pairs.j, strict=True)):
            found = prove_row(conditions, G, (a, j), lam[p], pairs.lip[p])
            if found is None:
                none += 1
                continue
            row = Difference(block.G.numpy()[a], block.G.numpy()[j])
            assert definite(lipschitz_of_row(W, U, row, found[1], found[0].value)), name
            larger += found[0].value > 1.0001 * pairs.lip[p]
    assert larger >= 6
    assert none >= 6


def test_a_solver_that_claims_too_much_is_not_believed(monkeypatch):
    minimise = Structured.minimise

    def lying(self, problem, start=None):
        return [replace(c, lip=1e-3 * c.lip) for c in minimise(self, problem, start)]

    network, search = Network([mondeq_block(7)]), Search("structured")
    proof = prove(network, search=search)
    honest = prove_pairs(network, proof, search).blocks[-1].pairs
    monkeypatch.setattr(Structured, "minimise", lying)
    found = prove_pairs(network, proof, search).blocks[-1].pairs
    np.testing.assert_allclose(found.lip, honest.lip, rtol=1e-3)


def test_a_solver_that_finds_nothing_leaves_the_proof_as_it_is(monkeypatch):
    minimise = Structured.minimise

    def failing(self, problem, start=None):
        return [replace(c, lam=None) for c in minimise(self, problem, start)]

    network, search = Network([mondeq_block(7)]), Search("structured")
    proof = prove(network, search=search)
    monkeypatch.setattr(Structured, "minimise", failing)
    assert prove_pairs(network, proof, search) is proof


@pytest.mark.parametrize("search", SEARCHES, ids=lambda s: s.method)
def test_what_lies_before_and_behind_counts(search):
    """y = A(Gz), x normalised by 1/4: the slopes of A_a − A_j behind four times the input."""
    rng = np.random.default_rng(0)
    block, A = mondeq_block(2), rng.standard_normal((4, 3))
    std = torch.full((4,), 0.25, dtype=torch.float64)
    network = Network(
        [Normalize(torch.zeros(4).double(), std), block, affine(A), affine(np.eye(4))]
    )
    proof = with_pairs(network, search)
    bounds = lowered(pair_bounds(network, proof.lip, proof.before_last()), proof)
    assert proof.blocks[1].pairs is not None
    for a, j in itertools.combinations(range(4), 2):
        slope = 4.0 * slope_of(block, (A[a] - A[j]) @ block.G.numpy())
        assert bounds[a, j] == bounds[j, a] >= slope * (1 - 1e-12)


def test_networks_that_end_otherwise_have_no_pairs():
    for blocks in (
        [affine(np.eye(3))],
        [mondeq_block(0), Normalize(torch.zeros(3).double(), torch.ones(3).double())],
    ):
        proof = with_pairs(Network(blocks), Search("structured"))
        assert all(getattr(own, "pairs", None) is None for own in proof.blocks)


def test_too_many_pairs_take_multiples(monkeypatch):
    network, search = Network([mondeq_block(1)]), Search("structured")
    proof = prove(network, search=search)
    monkeypatch.setattr(pair_search, "LARGEST", 3 * 6**3 - 1)
    monkeypatch.setattr(Structured, "minimise", None)  # would be called
    assert prove_pairs(network, proof, search) is not None


def test_kinds_of_bounds_are_counted():
    network = Network([mondeq_block(3), affine(np.eye(3)[:, :3])])
    proof = prove(network)
    assert pair_kinds(network, proof) in (
        {"lmi": 0, "rows": 3, "sqrt2": 0},
        {"lmi": 0, "rows": 0, "sqrt2": 3},
    )
    network = Network([mondeq_block(3)])
    assert pair_kinds(network, prove(network)) == {"lmi": 0, "rows": 0, "sqrt2": 3}
    solved = with_pairs(network, Search("structured"))
    assert pair_kinds(network, solved) == {"lmi": 3, "rows": 0, "sqrt2": 0}


def test_the_bytes_of_pairs_tell_them_apart():
    pairs = pairs_of(Network([mondeq_block(3)]), Search("structured"))
    other = replace(pairs, lip=np.nextafter(pairs.lip, np.inf))
    assert pairs.tobytes() != other.tobytes()


def test_the_published_monotone_deq(shared_data):
    """All 45 pairs of the 87 units: 35 % below √2·L, and no slope on the way up is steeper."""
    network = convert(shared_data / "models" / "semimondeq_mnist.mat", "semimondeq", {"m": 20})
    proof = with_pairs(network, Search("structured"))
    plain = pair_bounds(network, proof.lip, proof.before_last())
    bounds = lowered(plain, proof)
    every = np.triu_indices(10, 1)
    assert len(proof.blocks[-1].pairs) == 45
    assert bounds[every].mean() < 0.66 * plain[every].mean()
    evaluator = Evaluator(network, tol=1e-10)
    x = torch.from_numpy(np.random.default_rng(0).random((10, 784)))
    for a, j in [(0, 1), (4, 9), (3, 5)]:
        point = x
        for _ in range(10):  # towards steeper places: along the slope, in steps that shrink
            point = point.detach().requires_grad_(True)
            y = evaluator(point)
            (slope,) = torch.autograd.grad((y[:, a] - y[:, j]).sum(), point)
            assert float(slope.norm(dim=1).max()) <= bounds[a, j]
            point = point + 0.3 * slope / slope.norm(dim=1, keepdim=True)


def test_equilibrium_blocks_that_share_a_name_are_not_mixed_up():
    """Two equilibria: pairs belong to the last, and what lies before counts once."""
    first = mondeq_block(1, n=4, d=4, q=4)
    network = Network([first, mondeq_block(2, d=4)])
    proof = with_pairs(network, Search("structured"))
    assert proof.blocks[0].pairs is None
    pairs = proof.blocks[1].pairs
    bounds = lowered(np.full((3, 3), np.inf), proof)
    for a, j, lip in zip(pairs.a, pairs.j, pairs.lip, strict=True):
        expected = proof.blocks[0].lip.value * lip
        assert bounds[a, j] == pytest.approx(expected, rel=1e-12)
        assert Fraction(float(bounds[a, j])) >= Fraction(proof.blocks[0].lip.value) * Fraction(
            float(lip)
        )


@pytest.mark.parametrize("search", SEARCHES, ids=lambda s: s.method)
@pytest.mark.parametrize("std", [0.25, 4.0])
def test_pairs_that_gain_nothing_are_not_kept(search, std):
    """y = relu(x): every difference has the slope √2."""
    eye = np.eye(3)
    block = block_of(0.0 * eye, eye, eye, np.ones(3))
    before = Normalize(torch.zeros(3).double(), torch.full((3,), std).double())
    assert with_pairs(Network([before, block]), search).blocks[-1].pairs is None
    steep = block_of(
        0.0 * eye, eye, np.array([[1.0, 0, 0], [1, 0, 0.5], [0, 1, 0]]), np.ones(3), 1.5
    )
    assert len(with_pairs(Network([before, steep]), search).blocks[-1].pairs) == 3


def test_the_matrix_that_is_proven_encloses_the_exact_one(monkeypatch):
    """Entry by entry, with differences of rows that are not doubles."""
    seen = []

    def recording(ball, **options):
        seen.append(ball)
        return True

    monkeypatch.setattr(rows, "is_positive_definite", recording)
    k = np.random.default_rng(0).integers(2**26, 2**27, 40)
    G = np.stack([1.0 + k * 2.0**-52, np.full(40, -0.999 * 2.0**-53)])  # each rounded by nearly u
    W, U = np.zeros((40, 40)), np.zeros((40, 1))
    lam = np.full(40, 2.0**-1000)  # so that nothing but GᵀG counts, as far as rounding can tell
    prove_row(Conditions(block_of(W, U, G)), Ball(G), (0, 1), lam, 0.7)
    exact = lipschitz_of_row(W, U, Difference(*G), lam, 0.7 * (1.0 + rows.STEPS[0]))
    mid, rad = seen[0].mid, seen[0].radius()
    for i, k in itertools.product(range(40), repeat=2):
        assert abs(exact[i][k] - Fraction(float(mid[i, k]))) <= Fraction(float(rad[i, k]))


@pytest.mark.parametrize("search", SEARCHES, ids=lambda s: s.method)
def test_equal_rows_and_constant_maps_keep_their_bounds(search):
    block = mondeq_block(4)
    G = block.G.numpy()[[0, 1, 1]]
    same = block_of(block.W, block.U, G, origin=block.origin)
    pairs = pairs_of(Network([same]), search)
    for a, j, lip in zip(pairs.a, pairs.j, pairs.lip, strict=True):
        assert lip >= slope_of(block, G[a] - G[j]) * (1 - 1e-12)
        assert lip > 0.0
    nothing = Network([affine(np.zeros((4, 4))), block])
    assert with_pairs(nothing, search).blocks[-1].pairs is None


@pytest.mark.parametrize("search", SEARCHES, ids=lambda s: s.method)
@pytest.mark.parametrize("size", [1e-150, 1e-40, 1e40, 1e150])
def test_very_large_and_very_small_outputs(search, size):
    """What cannot be proven is left as it is, and nothing breaks."""
    block = mondeq_block(4)
    network = Network([block_of(block.W, block.U, size * block.G.numpy(), origin=block.origin)])
    try:
        proof = prove(network, search=search)
    except InconclusiveError:
        return
    pairs = prove_pairs(network, proof, search).blocks[-1].pairs
    if pairs is not None:
        G = block.G.numpy()
        for a, j, lip in zip(pairs.a, pairs.j, pairs.lip, strict=True):
            assert lip / size >= slope_of(block, G[a] - G[j]) * (1 - 1e-9)


def test_a_thousand_classes_are_not_paired(monkeypatch):
    network = Network([mondeq_block(0, q=1000)])
    proof = prove(network)
    assert prove_pairs(network, proof) is proof
    monkeypatch.setattr(pair_search, "MOST", 3 * (6**3 + pair_search.FIXED) - 1)
    small = Network([mondeq_block(3)])
    proof = prove(small)
    assert prove_pairs(small, proof) is proof
    monkeypatch.setattr(pair_search, "MOST", 3 * (6**3 + pair_search.FIXED))
    assert len(prove_pairs(small, proof).blocks[-1].pairs) > 0
