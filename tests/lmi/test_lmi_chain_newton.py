"""Newton steps of chains: derivatives, products, completions, dual bounds, preconditioned solutions."""

import numpy as np
import pytest
import torch
from chain_algebra import full_of, matrix, off_centre, pattern, point, seeds, shapes
from chain_nets import chain_of
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.lmi.chain.marginals import Marginals, dual_bound, inner, traces
from certlip.lmi.chain.newton import Directions
from certlip.lmi.chain.products import Products
from certlip.lmi.chain.recursion import Pattern, completed
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.start import tightened
from certlip.lmi.chain.windows import Windows


@settings(deadline=None, max_examples=30)
@given(seeds, shapes)
def test_derivatives_are_those_of_the_log_determinant(seed, widths):
    chain, lam, rho, P = point(seed, widths)
    flat = torch.cat([*lam, torch.tensor([rho]).double()])

    def barrier(x):
        return -torch.logdet(matrix(chain, list(x[:-1].split(chain.widths)), x[-1]))

    by_lam, by_rho = traces(Marginals.of(chain, P.blocks))
    true = -torch.func.grad(barrier)(flat)  # `logdet` and its gradient are rounded as well
    found = torch.cat([by_lam, by_rho[None]])
    torch.testing.assert_close(found, true, rtol=1e-6, atol=1e-7 * float(true.abs().max()))
    H = torch.func.hessian(barrier)(flat)
    eye = torch.eye(len(flat)).double()
    products = Products(chain, P, P)(list(eye[:, :-1].split(chain.widths, -1)), eye[:, -1])
    by_lam, by_rho = traces(Marginals.of(chain, products))
    rows = torch.cat([by_lam, by_rho[:, None]], 1)
    torch.testing.assert_close(rows, H, rtol=1e-6, atol=1e-7 * float(H.abs().max()))
    S = matrix(chain, lam, rho)
    order = float(torch.linalg.inv(S).flatten() @ S.flatten())
    assert inner(lam, rho, Marginals.of(chain, P.blocks)) == pytest.approx(order, rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(seeds, shapes)
def test_products_are_those_of_the_dense_matrices(seed, widths):
    """The symmetric part of P S(d) Z for a Z that is not P, and the exact matrix of one window."""
    chain, lam, rho, P = point(seed, widths)
    Z = completed(off_centre(chain, P.blocks, seed))
    assert Z is not None
    full, d = full_of(chain, Z.blocks), torch.randn(sum(chain.widths) + 1).double()
    zero = [torch.zeros(w).double() for w in chain.widths]
    S = matrix(chain, list(d[:-1].split(chain.widths)), d[-1]) - matrix(chain, zero, 0.0)
    dense = torch.linalg.inv(matrix(chain, lam, rho)) @ S @ full
    true = pattern(chain, 0.5 * (dense + dense.mT))
    found = Products(chain, P, Z)([part[None] for part in d[:-1].split(chain.widths)], d[-1:])[0]
    for a, b in zip([*found.own, *found.below], [*true.own, *true.below], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6 * float(dense.abs().max()))
    eye = torch.eye(len(d) - 1).double()
    products = Products(chain, P, Z)(list(eye.split(chain.widths, -1)), eye[0] * 0.0)
    M = traces(Marginals.of(chain, products))[0]
    v = torch.randn(2, len(M)).double() * M.diagonal().rsqrt()
    error = Windows(chain, P, Z)(v @ M) - v  # one window: the inverse itself
    assert float((error @ M * error).sum()) <= 1e-6 * float((v @ M * v).sum())


@settings(deadline=None, max_examples=30)
@given(seeds, shapes)
def test_a_completion_has_a_block_tridiagonal_inverse(seed, widths):
    chain, _, _, P = point(seed, widths)
    blocks = off_centre(chain, P.blocks, seed, 0.0)
    Z = completed(blocks)
    assert Z is not None
    full = full_of(chain, blocks)
    T = torch.linalg.inv(full)
    sparse = pattern(chain, T)
    scale = torch.outer(T.diagonal().sqrt(), T.diagonal().sqrt())
    kept = torch.block_diag(*[torch.ones_like(block) for block in sparse.own])
    at = np.cumsum([0, *[len(block) for block in sparse.own]])
    for k, block in enumerate(sparse.below):
        kept[at[k + 1] : at[k + 1] + len(block), at[k] : at[k + 1]] = 1.0
    assert float(((1.0 - torch.maximum(kept, kept.mT)) * (T / scale)).abs().max()) < 1e-5
    for k, J in enumerate(Z.J[:-1]):
        own = Z.E[k] @ blocks.own[k + 1] @ Z.E[k].mT + J
        torch.testing.assert_close(own, blocks.own[k], rtol=1e-9, atol=1e-9)


def test_what_is_not_positive_definite_has_no_completion():
    """Every diagonal block is fine; only together with its neighbour it is not."""
    eye = torch.eye(2).double()
    assert completed(Pattern([eye] * 3, [0.9 * eye] * 2)) is not None
    assert completed(Pattern([eye] * 3, [0.9 * eye, 1.1 * eye])) is None
    assert completed(Pattern([eye, eye, -eye], [0.9 * eye, 0.0 * eye])) is None


@settings(deadline=None, max_examples=60)
@given(seeds, shapes, st.floats(-4, 1))
def test_any_positive_semidefinite_matrix_gives_a_dual_bound(seed, widths, exponent):
    """Off the central path neurons disagree."""
    chain, lam, rho, P = point(seed, widths)
    _, best = tightened(chain, lam, rho)
    assert 0.0 < dual_bound(chain, P.blocks) <= best * (1 + 1e-9)
    assert dual_bound(chain, off_centre(chain, P.blocks, seed, exponent)) <= best * (1 + 1e-9)


def test_a_neuron_that_moves_against_its_input_counts_as_dead():
    """No scaling of its state but 0 makes diag(AZ_01) ≥ diag(Z_11)."""
    chain = ScaledChain.of(chain_of([np.array([[1.0], [1.0]]), np.array([[1.0, 1.0]])]))
    own = [torch.eye(1).double(), torch.eye(2).double()]
    Z = Pattern(own, [torch.tensor([[0.5], [-0.5]]).double()])
    assert completed(Z) is not None
    gains = [float(A[0, 0]) ** 2 for A in chain.A]
    assert dual_bound(chain, Z) == pytest.approx(0.25 * gains[0] * gains[1])


@settings(deadline=None, max_examples=30)
@given(seeds, shapes)
def test_a_full_step_makes_the_dual_feasible(seed, widths):
    """tr(∂S/∂x Z) is the objective's coefficient after it, for every μ that it aims at."""
    chain, _, _, P = point(seed, widths)
    Z = completed(off_centre(chain, P.blocks, seed))
    assert Z is not None
    directions = Directions.at(chain, P, Z, 1e-9)
    for mu in (0.0, 0.3):
        step = directions.step(mu)
        by_lam, by_rho = traces(Marginals.of(chain, Z.blocks.plus(1.0, step.Z)))
        size = float(torch.cat([b.diagonal() for b in Z.blocks.own]).abs().max())
        assert float(by_lam.abs().max()) <= 1e-5 * max(size, 1.0)
        assert float(by_rho) == pytest.approx(1.0, abs=1e-5 * max(size, 1.0))


def test_overlapping_windows_find_the_same_directions(monkeypatch):
    chain, _, _, P = point(0, [6] * 12)
    whole = Directions.at(chain, P, P, 1e-9)
    monkeypatch.setattr("certlip.lmi.chain.windows.UNKNOWNS", 18)
    parts = Directions.at(chain, P, P, 1e-9)
    assert whole.steps <= 3 < parts.steps < 60
    torch.testing.assert_close(whole.lam, parts.lam, rtol=1e-5, atol=1e-7)


def test_single_precision_finds_the_same_directions():
    chain, _, _, P = point(0, [6] * 12)
    both = Directions.at(chain, P, P, 1e-3), Directions.in_single(chain, P, P, 1e-3)
    double, single = both
    assert single is not None
    assert single.lam.dtype == single.P.own[0].dtype == single.changes.own[0].dtype == torch.float64
    torch.testing.assert_close(single.lam, double.lam, rtol=1e-2, atol=1e-3)
    for mu in (0.0, 0.3):
        ours, theirs = single.step(mu), double.step(mu)
        for part, other in zip(ours.Z.own, theirs.Z.own, strict=True):
            assert float((part - other).norm()) < 1e-2 * float(other.norm())


def test_single_precision_is_given_up_where_it_is_not_enough(monkeypatch):
    chain, _, _, P = point(0, [6] * 12)
    assert Directions.in_single(chain, P.times(1e60), P.times(1e-60), 1e-3) is None
    monkeypatch.setattr("certlip.lmi.chain.newton.FEW", 1)
    assert Directions.in_single(chain, P, P, 1e-30) is None
