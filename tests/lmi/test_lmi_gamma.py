"""The Γ that a block is proven with: its margin is proven, and errors of its outputs are small."""

import numpy as np
import pytest
import torch
from exact import definite
from exact import well_posed as exact_well_posed
from hypothesis import given, settings
from hypothesis import strategies as st
from lmi_nets import block_of, mondeq_block

from certlip.blocks import ConvEquilibrium, Network, Sigma, equilibrium_block
from certlip.blocks.activations import ReLU
from certlip.certification import certify
from certlip.certification.enclosure.equilibrium import EquilibriumEncloser
from certlip.errors import InconclusiveError, RejectedError
from certlip.linalg.rigorous import LowerBound
from certlip.linalg.torus import Torus
from certlip.lmi import gamma, prove
from certlip.lmi.analytic import Multipliers
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.gamma import growth, well_posed
from certlip.lmi.interior.growth import GrowthBarrier, least_gamma
from certlip.lmi.problem import Problem
from certlip.lmi.rules import apply_rule
from certlip.lmi.search import Search
from certlip.solvers import Evaluator

seeds = st.integers(0, 2**31)


def chain(seed, depth=3, d=2, slack=1e-9):
    """A Sandwich network (Theorem D.2) whose [A_n, B_n] are square, as one block: ‖B_nA_{n−1}ᵀ‖ = 1.

    With the multipliers of the theorem, Γ = Λ = I, the matrix of (3) is singular but for `slack`.
    """
    rng = np.random.default_rng(seed)
    m = 2 * d
    n = depth * m
    A, B = np.split(np.stack([orthogonal(rng, m) for _ in range(depth)]), 2, axis=2)
    W, U, G = np.zeros((n, n)), np.zeros((n, d)), np.zeros((d, n))
    U[:m], G[:, -m:] = 2**0.5 * B[0], 2**0.5 * orthogonal(rng, d) @ A[-1].T
    for k in range(1, depth):
        W[k * m : (k + 1) * m, (k - 1) * m : k * m] = 2.0 * B[k] @ A[k - 1].T
    W, U, G = ((1.0 - slack) * array for array in (W, U, G))
    return block_of(W, U, G, np.ones(n), 1.0, b_z=rng.standard_normal(n))


def orthogonal(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


@pytest.mark.parametrize("kind", [torch.float64, torch.complex128])
@pytest.mark.parametrize("frequencies", [1, 3])
def test_the_barrier_has_the_derivatives_of_its_definition(kind, frequencies):
    g = torch.Generator().manual_seed(0)
    n = 4
    A, B, G = (torch.randn(frequencies, m, n, generator=g, dtype=kind) for m in (n, n, 2))
    Q = torch.eye(n, dtype=kind) + A @ A.mH / n + B - B.mH
    c = torch.rand(n, generator=g, dtype=torch.float64) + 0.1
    barrier = GrowthBarrier(Q, G.mH @ G, c)
    gam = 30.0 + torch.rand(n, generator=g, dtype=torch.float64)
    x = torch.cat([gam, (gam @ c)[None] + 1.7])

    def definition(x):
        Gam = torch.diag(x[:-1]).to(kind)
        total = -(x[-1] - x[:-1] @ c).log()
        for Q_f, G_f in zip(Q, G, strict=True):
            total = total - torch.linalg.slogdet(Gam @ Q_f + Q_f.mH @ Gam)[1]
            total = total - torch.linalg.slogdet(Gam - G_f.mH @ G_f)[1]
        return total

    value, kept = barrier.value(x[None])
    gradient, hessian = barrier.derivatives(x[None], kept)
    assert float(value[0]) == pytest.approx(float(definition(x)), rel=1e-10)
    expected = torch.autograd.functional.jacobian(definition, x)
    torch.testing.assert_close(gradient[0], expected, rtol=1e-8, atol=1e-10)
    expected = torch.autograd.functional.hessian(definition, x)
    torch.testing.assert_close(hessian[0], expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("where", ["γ < 0", "too large", "does not read G", "(3) fails"])
def test_outside_of_its_domain_the_barrier_is_infinite(where):
    eye = torch.eye(2, dtype=torch.float64)
    Q = eye if where != "(3) fails" else torch.tensor([[1.0, 0.0], [9.0, 1.0]]).double()
    barrier = GrowthBarrier(Q[None], eye[None], torch.ones(2).double())
    x = torch.tensor([[2.0, 3.0, 6.0]]).double()
    assert barrier.value(x)[0].isfinite() == (where != "(3) fails")
    wrong = {
        "γ < 0": [-2.0, 3.0, 6.0],
        "too large": [2.0, 3.0, 4.9],
        "does not read G": [0.5, 3.0, 6.0],
    }
    if where in wrong:
        assert barrier.value(torch.tensor([wrong[where]]).double())[0].isinf()


@pytest.mark.parametrize("mu", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("w", [0.1, 1.0, 7.0])
def test_two_units_in_a_row_get_the_least_gamma(mu, w):
    """z₂ = σ(w z₁), y = g z₂: γ₂ ≥ g² and 4(1 − μ)²γ₁ ≥ γ₂w²."""
    g = 3.0
    block = block_of([[0.0, 0.0], [w, 0.0]], [[1.0], [0.0]], [[0.0, g]])
    c = torch.tensor([2.0, 1.0]).double()
    gam = least_gamma(Problem.of(block), mu, c)
    least = np.array([g**2 * w**2 / (4.0 * (1.0 - mu) ** 2), g**2])
    assert (gam.numpy() > least * (1 - 1e-9)).all()
    assert float(gam @ c) <= 1.15 * float(least @ c.numpy())


def test_without_a_margin_there_is_no_gamma():
    block = block_of([[0.95]], [[1.0]], [[1.0]])  # 2(1 − 0.95)γ ≥ 2μγ
    problem, c = Problem.of(block), torch.ones(1).double()
    assert least_gamma(problem, 0.06, c) is None
    assert least_gamma(problem, 0.04, c) is not None


@given(seed=seeds, depth=st.integers(2, 4))
@settings(max_examples=10)
def test_compositions_get_a_margin(seed, depth):
    block = chain(seed, depth)
    poor = apply_rule(block, search=Search("analytic"))
    proof, problem = apply_rule(block), Problem.of(block)
    assert poor.mu.value < 1e-8
    assert proof.mu.value > 0.09
    assert growth(problem, proof.gam, proof.mu) < 1e-5 * growth(problem, poor.gam, poor.mu)
    assert definite(exact_well_posed(block.W.numpy(), proof.gam, proof.mu.value))
    through = np.linalg.norm(block.G.numpy() / np.sqrt(proof.gam), 2)
    assert through <= proof.gam_root_G.value <= 1.01 * through
    assert proof.lip == poor.lip
    np.testing.assert_array_equal(proof.lam, poor.lam)


def test_a_gamma_that_is_not_decided_is_replaced():
    """With Γ = I the matrix of (3) is singular, up to what rounding can tell."""
    block = chain(0, slack=0.0)
    conditions, ones = Everywhere(block), np.ones(block.n)
    guess = Multipliers(ones, ones, 1.0, "lben")
    with pytest.raises(InconclusiveError):
        well_posed(block, conditions, guess, Search("analytic"))
    gam, mu = well_posed(block, conditions, guess, Search())
    assert mu.value > 0.09
    assert definite(exact_well_posed(block.W.numpy(), gam, mu.value))


@given(seed=seeds, scale=st.integers(0, 60))
@settings(max_examples=10)
def test_errors_are_enclosed_with_it(seed, scale):
    """Whatever the guess ẑ is, the true output is no further than δ."""
    block = chain(seed, 3)
    proof = apply_rule(block)
    encloser = EquilibriumEncloser(block, proof)
    encloser.blocks = None  # no substitution: by Γ and μ alone
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((6, 2))
    true = Evaluator(Network([block]), tol=1e-14)(torch.from_numpy(x)).numpy()
    z = rng.standard_normal((6, block.n)) * 2.0**-scale
    near = encloser(x, z)
    assert (np.linalg.norm(near.y - true, axis=1) <= near.delta + 1e-13).all()


def test_the_bound_is_worth_something():
    block = chain(3, 4)
    proof = apply_rule(block)
    encloser = EquilibriumEncloser(block, proof)
    encloser.blocks = None
    x = np.random.default_rng(0).standard_normal((5, 2))
    z = np.stack([state(block, row) for row in x])
    assert encloser(x, z).delta.max() < 1e-11
    assert encloser(x, z + 1e-6).delta.max() < 1e-3


def state(block, x):
    z, W = np.zeros(block.n), block.W.numpy()
    for _ in range(block.n):
        z = np.maximum(W @ z + block.U.numpy() @ x + block.b_z.numpy(), 0.0)
    return z


def conv_chain(seed, size=4):
    """The same on a torus: each layer moves its pixels as well."""
    dense = chain(seed)
    n, d = dense.n, dense.in_width

    def kernel(A, i, j):
        K = torch.zeros(*A.shape, 3, 3, dtype=torch.float64)
        K[:, :, i, j] = A
        return K

    arrays = kernel(dense.W, 2, 0), kernel(dense.U, 0, 1), kernel(dense.G, 1, 1)
    sigma = Sigma.of(ReLU(), n * size * size)
    bias, torus = (dense.b_z, torch.zeros(d).double()), Torus(size, size)
    return equilibrium_block(*arrays, *bias, sigma, torus=torus, origin=dense.origin)


def test_compositions_of_convolutions_get_a_margin():
    block = conv_chain(0)
    assert isinstance(block, ConvEquilibrium)
    proof = apply_rule(block)
    assert proof.mu.value > 0.09
    assert proof.gam_W == Everywhere(block).state_norm(proof.gam)
    assert proof.gam_root_G == Everywhere(block).output_norm(proof.gam)
    assert proof.gam_root_G.value * (1.0 + proof.gam_W.value / proof.mu.value) < 1e3


@given(seed=seeds)
@settings(max_examples=15)
def test_another_gamma_is_never_worse(seed):
    block = mondeq_block(seed, m=10.0 ** np.random.default_rng(seed).uniform(-6, 0))
    search = Search()
    guess, problem, conditions = search(block, None), Problem.of(block), Everywhere(block)
    given_gam, given_mu = well_posed(block, conditions, guess, Search("analytic"))
    old = gamma.ENOUGH
    gamma.ENOUGH = 0.0
    try:
        gam, mu = well_posed(block, conditions, guess, search)
    finally:
        gamma.ENOUGH = old
    assert growth(problem, gam, mu) <= growth(problem, given_gam, given_mu)
    assert definite(exact_well_posed(block.W.numpy(), gam, mu.value))


@given(seed=seeds)
@settings(max_examples=10)
def test_units_of_the_states_do_not_matter(seed):
    """z_i in units of 10^±4: a Γ that is as good there as the one of moderate units is."""
    rng = np.random.default_rng(seed)
    block = chain(seed, 3)
    t = 10.0 ** rng.uniform(-4, 4, block.n)
    W, U, G = (array.numpy() for array in (block.W, block.U, block.G))
    scaled = block_of(W * t / t[:, None], U / t[:, None], G * t, t**2, 1.0 + 1e-9)
    proof, other, problem = apply_rule(block), apply_rule(scaled), Problem.of(scaled)
    assert other.mu.value > 0.09
    moved = growth(problem, proof.gam * t**2, proof.mu)
    assert growth(problem, other.gam, other.mu) < 2.0 * moved


@given(seed=seeds)
@settings(max_examples=10)
def test_the_weights_are_small_in_the_units_of_the_block_too(seed):
    """Solved for in other units, Γ is not much above the least in those that residuals have."""
    t = torch.from_numpy(10.0 ** np.random.default_rng(seed).uniform(-2, 2, 12))
    plain = Problem.of(chain(seed, 3))
    problem = Problem(plain.W * t / t[:, None], plain.U / t[:, None], plain.G * t)
    found = gamma._least_gamma(problem)
    direct = least_gamma(problem, gamma.MARGINS[0], torch.ones(12).double())
    assert found.sum() < 20.0 * float(direct.sum())


def test_a_wrong_claim_of_a_family_is_still_refuted():
    """Another Γ would do for W = [[0, 0], [8, 0]], but Γ = I is what the block claims."""
    block = block_of([[0.0, 0.0], [8.0, 0.0]], np.eye(2), np.eye(2), np.ones(2))
    with pytest.raises(RejectedError):
        apply_rule(block)


@pytest.mark.parametrize("what", ["no number", "negative", "not a Γ", "none"])
def test_a_solver_that_goes_wrong_changes_nothing(monkeypatch, what):
    """The family's Γ has a margin of 10⁻⁹ here, and is kept."""
    block = chain(1)
    expected = apply_rule(block, search=Search("analytic"))
    assert 1e-10 < expected.mu.value < 1e-8
    n = block.n
    wrong = {
        "no number": torch.full((n,), torch.nan),
        "negative": -torch.ones(n),
        "not a Γ": torch.logspace(0, 9, n),
        "none": None,
    }[what]
    found = None if wrong is None else wrong.double()
    monkeypatch.setattr(gamma, "least_gamma", lambda *args: found)
    proof = apply_rule(block)
    assert proof.mu == expected.mu
    np.testing.assert_array_equal(proof.gam, expected.gam)


def test_nothing_is_looked_for_where_it_is_not_wanted(monkeypatch):
    monkeypatch.setattr(gamma, "least_gamma", None)  # would be called
    block = chain(1)
    assert apply_rule(mondeq_block(0)).mu.value == pytest.approx(0.516, rel=1e-2)
    assert apply_rule(block, search=Search("analytic")).mu.value < 1e-8
    monkeypatch.setattr(gamma, "LARGEST", block.n**3 - 1)
    assert apply_rule(block).mu.value < 1e-8
    monkeypatch.setattr(gamma, "LARGEST", block.n**3)
    with pytest.raises(TypeError):
        apply_rule(block)


def test_growth_counts_the_margin_and_the_outputs():
    block = chain(0)
    problem, gam = Problem.of(block), np.ones(block.n)
    plain = growth(problem, gam, LowerBound(0.5))
    assert growth(problem, gam, LowerBound(5e-10)) > 1e8 * plain
    twice = growth(Problem(problem.W, problem.U, 2.0 * problem.G), gam, LowerBound(0.5))
    assert twice == pytest.approx(2.0 * plain)
    assert growth(problem, 100.0 * gam, LowerBound(0.5)) == pytest.approx(plain)


@pytest.mark.parametrize("seed", range(3))
def test_a_margin_costs_no_radius_and_next_to_none_does(seed):
    """Without substitution, as in an LBEN after fine-tuning: one entry above the blocks is not 0."""
    block = chain(seed)
    W = block.W.numpy().copy()
    W[0, -1] = 1e-12
    network = Network([block_of(W, block.U, block.G, np.ones(12), 1.0, b_z=block.b_z.numpy())])
    x = np.random.default_rng(seed).standard_normal((200, 2))
    label = Evaluator(network)(torch.from_numpy(x)).argmax(dim=1).numpy()
    poor, good = (
        certify(network, prove(network, search=search), x, label)
        for search in (Search("analytic"), Search())
    )
    assert (good.radius_lower > 0.0).sum() >= (poor.radius_lower > 0.0).sum()
    both = poor.radius_lower > 0.0
    lost = 1.0 - poor.radius_lower[both] / good.radius_lower[both]
    assert np.median(lost) > 1e-6
