"""The rule of LBENs on images that end in zeros: against dense matrices, slopes, and planted errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from padded_nets import jacobian, padded, written_out

from certlip.blocks import Affine, Network
from certlip.errors import InconclusiveError
from certlip.lmi import prove
from certlip.lmi.check import check, exit_code
from certlip.lmi.ladder import climb
from certlip.lmi.rules.padded_equilibrium import (
    Condition,
    _coefficients,
    prove_padded_equilibrium,
)
from certlip.lmi.scaling import best_scale
from certlip.lmi.strips import Strips, gram_taps
from certlip.solvers import Evaluator

seeds = st.integers(0, 2**32 - 1)


def matrix_of_4(block, t, lip, wide=True):
    """2Λ − ΛW − WᵀΛ − GᵀG/L − ΛUUᵀΛ/L for Λ = tΨ⁻¹, dense."""
    W, U, wide_U, _ = written_out(block)
    lam, G = t / block.psi.numpy().ravel(), block.G.numpy()
    lam_U = lam[:, None] * (wide_U if wide else U)
    return (
        2 * np.diag(lam)
        - (lam[:, None] * W + W.T * lam[None, :])
        - (G.T @ G + lam_U @ lam_U.T) / lip
    )


def order(block):
    """Where the states of the strips, one after the other, are in the block."""
    strips = Condition(block).strips
    index = np.arange(block.n, dtype=float).reshape(block.psi.shape)
    return np.concatenate([strips.of(index, k) for k in range(len(strips))]).astype(int)


def assembled(matrix):
    """The symmetric matrix, less what its border takes off."""
    sizes = [len(block.mid) for block in matrix.diagonal]
    edges = np.cumsum([0, *sizes])
    S = np.zeros((edges[-1], edges[-1]))
    for k, block in enumerate(matrix.diagonal):
        S[edges[k] : edges[k + 1], edges[k] : edges[k + 1]] = block.mid
    for k, block in enumerate(matrix.below):
        S[edges[k + 1] : edges[k + 2], edges[k] : edges[k + 1]] = block.mid
        S[edges[k] : edges[k + 1], edges[k + 1] : edges[k + 2]] = block.mid.T
    border = np.concatenate([block.mid for block in matrix.border], axis=1)
    return S - border.T @ np.linalg.solve(matrix.corner.mid, border)


sizes = st.sampled_from([(1, 1), (1, 3), (3, 1), (3, 3), (3, 5)])


@settings(max_examples=25)
@given(seeds, st.integers(1, 6), st.integers(1, 6), sizes, sizes, st.floats(0.5, 2.0))
def test_the_blocks_are_the_matrix_of_4(seed, height, width, of_U, of_A, t):
    sides = [
        (min(h, height - 1 + height % 2), min(w, width - 1 + width % 2)) for h, w in (of_U, of_A)
    ]
    block = padded(seed, height=height, width=width, U=sides[0], A=sides[1])
    lip = 0.8 * block.lip
    S = assembled(Condition(block).matrix(t, lip))
    expected = lip / t * matrix_of_4(block, t, lip)
    if _coefficients(t, lip, block.lip)[1] > 0:  # dropped: what is left is smaller
        G = block.G.numpy()
        expected = expected - (lip / block.lip - 1 / t) * G.T @ G
    index = order(block)
    np.testing.assert_allclose(S, expected[np.ix_(index, index)], rtol=1e-10, atol=1e-10)


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_the_taps_are_those_of_the_gram_matrix(seed, height, width):
    block = padded(seed, height=2 * height + 1, width=2 * width + 1, A=(3, 3))
    AA, (n, H, W) = written_out(block)[3], block.psi.shape
    strips = Strips(n, H, W, 2)
    dense = np.block(
        [
            [strips.block(gram_taps(block.A.numpy()), k, j).mid for j in range(len(strips))]
            for k in range(len(strips))
        ]
    )
    index = np.arange(n * H * W, dtype=float).reshape(n, H, W)
    index = np.concatenate([strips.of(index, k) for k in range(len(strips))]).astype(int)
    np.testing.assert_allclose(dense, AA[np.ix_(index, index)], atol=1e-12)


def test_coefficients_are_rounded_down():
    from fractions import Fraction

    for t, lip, own in ((0.1, 0.3, 0.7), (1.1, 0.4, 0.5), (3.0, 1.0, 3.0)):
        ratio = Fraction(lip) / Fraction(own)
        for found, exact in zip(
            _coefficients(t, lip, own), (ratio - Fraction(t), ratio - 1 / Fraction(t)), strict=True
        ):
            assert Fraction(found) <= exact <= Fraction(np.nextafter(found, np.inf))


@settings(max_examples=8)
@given(seeds)
def test_the_estimate_is_the_best_multiple(seed):
    block = padded(seed)
    guess = best_scale(block)

    def lip(t):
        G, lam = block.G.numpy(), 1 / block.psi.numpy().ravel()
        lam_U = lam[:, None] * written_out(block)[2]
        M = matrix_of_4(block, 1.0, np.inf)
        N = G.T @ G / t + t * lam_U @ lam_U.T
        return np.linalg.eigvals(np.linalg.solve(M, N)).real.max()

    assert guess.lip == pytest.approx(lip(guess.scale), rel=1e-4)
    best = min(lip(guess.scale * np.exp(s)) for s in np.linspace(-1, 1, 81))
    assert guess.lip <= best * (1 + 2e-3)


@settings(max_examples=12)
@given(seeds)
def test_what_is_proven_holds(seed):
    block = padded(seed)
    proof = prove_padded_equilibrium(block)
    assert proof.lip.value <= block.lip
    guess = best_scale(block)
    assert proof.lip.value <= max(guess.lip * 1.001, 0.0)
    # (4) holds for the dense matrix, (3) with the margin
    assert np.linalg.eigvalsh(matrix_of_4(block, guess.scale, proof.lip.value, wide=False))[0] > 0
    psi = block.psi.numpy().ravel()
    well_posed = matrix_of_4(block, 1.0, np.inf) - 2 * proof.mu.value * np.diag(1 / psi)
    assert np.linalg.eigvalsh(well_posed)[0] > 0
    W, root = written_out(block)[0], np.sqrt(psi)
    assert proof.gam_W.value >= np.linalg.norm(W * root / root[:, None], 2)
    assert proof.gam_root_G.value >= np.linalg.norm(block.G.numpy() * root, 2) * (1 - 1e-12)


@settings(max_examples=10)
@given(seeds)
def test_no_slope_is_above(seed):
    """Jacobians at equilibria, and those of all units active or of random ones: activity patterns that some
    bias makes true, which (4) does not depend on."""
    block = padded(seed, lip=0.5)
    lip = prove_padded_equilibrium(block).lip.value
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.standard_normal((5, block.in_width)))
    _, solution = Evaluator(Network([block])).block(0, x)
    patterns = [*solution.z.numpy(), np.ones(block.n), *rng.standard_normal((20, block.n))]
    for z in patterns:
        assert np.linalg.norm(jacobian(block, z), 2) <= lip * (1 + 1e-9)


def test_the_bound_is_nearly_attained_by_one_unit():
    """n = 1 pixel: L ≥ gu/(1 − w), and the best multiple gives exactly that."""
    block = padded(1, n=1, q=1, height=1, width=1, U=(1, 1), A=(1, 1))
    W, U, _, _ = written_out(block)
    slope = abs(block.G.item() * U.item() / (1 - W.item()))
    assert prove_padded_equilibrium(block).lip.value == pytest.approx(slope, rel=1e-5)


def test_the_margin_is_attained():
    """With A = G = U = 0 the left side of (3) is 2mI, which is 2μΓ where Ψ is smallest."""
    block = padded(2)
    zero = {name: torch.zeros_like(block.arrays()[name]) for name in ("A", "G", "U")}
    block = type(block).from_parts(block.arrays() | zero, block.meta())
    mu = prove_padded_equilibrium(block).mu.value
    assert mu <= block.m * float(block.psi.min()) <= mu * (1 + 1e-12)


def test_a_prescribed_bound():
    block = padded(0)
    best = prove_padded_equilibrium(block).lip.value
    for lip in (best * 1.01, block.lip, 2 * block.lip):
        assert prove_padded_equilibrium(block, lip=lip).lip.value == lip
    with pytest.raises(InconclusiveError, match="multiple of Ψ⁻¹"):
        prove_padded_equilibrium(block, lip=best * 0.99)


def test_the_formula_alone_proves_its_bound(monkeypatch):
    """Whatever the estimate says: L = lip needs no computation, and no other L is claimed."""
    from certlip.lmi.rules import padded_equilibrium as rule
    from certlip.lmi.scaling import Scale

    for scale in (Scale(1.0, np.inf), Scale(1.0, np.nan), Scale(50.0, 1e-9), Scale(1.0, 1e300)):
        monkeypatch.setattr(rule, "best_scale", lambda block, scale=scale: scale)
        block = padded(0)
        assert rule.prove_padded_equilibrium(block).lip.value == block.lip


def test_in_a_network():
    block = padded(0)
    eye = Affine(torch.eye(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    proof = prove(Network([block, eye]))
    assert proof.lip.value == pytest.approx(proof.blocks[0].lip.value)


@pytest.mark.parametrize("name", ["G", "U"])
def test_a_constant_map(name):
    block = padded(0)
    arrays = block.arrays() | {name: torch.zeros_like(block.arrays()[name])}
    constant = type(block).from_parts(arrays, block.meta())
    assert prove_padded_equilibrium(constant).lip.value <= block.lip


@pytest.mark.parametrize(("name", "psi"), [("A", 1e3), ("U", 1e-3)])
def test_the_norm_of_the_states_counts_pixels_beyond_the_image(name, psi):
    """A kernel whose norm lies between the frequencies of a torus of the image and one reach alone."""
    block = padded(0, n=1, height=1, width=5, A=(1, 5), U=(1, 5))
    kernel = torch.tensor([0.847, -0.417, -0.36, -0.638, 0.787], dtype=torch.float64)
    arrays = {key: torch.zeros_like(array) for key, array in block.arrays().items()}
    arrays |= {"psi": torch.full_like(block.psi, psi), name: kernel.reshape(1, 1, 1, 5)}
    block = type(block).from_parts(arrays, block.meta())
    W = written_out(block)[0]
    assert prove_padded_equilibrium(block).gam_W.value >= np.linalg.norm(W, 2)


@settings(max_examples=8)
@given(seeds)
def test_norms_alone_bound_it_as_well(seed):
    block = padded(seed)
    ladder = climb(Network([block]), pairs=False)
    norms, closed = (rung.stretches[0].lip.value for rung in ladder.rungs[:2])
    assert norms >= closed == ladder.lip.value
    assert norms >= np.linalg.norm(jacobian(block, np.ones(block.n)), 2)


def test_norms_alone_are_attained_by_one_unit():
    """G = U = Ψ = 1, A = B = 0: the norms say 1/m, and m goes into W."""
    one = {"psi": 1.0, "U": 1.0, "A": 0.0, "B": 0.0, "G": 1.0}
    block = padded(1, n=1, q=1, height=1, width=1, U=(1, 1), A=(1, 1), m=0.5)
    arrays = block.arrays() | {
        k: torch.full_like(block.arrays()[k], value) for k, value in one.items()
    }
    block = type(block).from_parts(arrays, block.meta())
    assert climb(Network([block])).rungs[0].lip.value == pytest.approx(2.0, rel=1e-12)


def test_an_l_out_of_reach_leaves_the_block_well_posed():
    rows, bound = check(Network([padded(0)]), ("3", "10"), lip=1e-9)
    assert [row["outcome"] for row in rows] == ["proven", "unknown"]
    assert rows[0]["lipschitz_claimed"] is None
    assert float(rows[0]["mu_lower"]) > 0.0
    assert bound is None
    assert exit_code(rows) == 3
    rows, bound = check(Network([padded(0)]), ("3",))
    assert [row["condition"] for row in rows] == ["3"]
    assert bound is None
    assert exit_code(rows) == 0
