"""Equilibria whose input map has full row rank: a residual moves the output as an input does."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from exact import definite, product, rational, transposed
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.blocks import Equilibrium, Network, Sigma
from certlip.blocks.activations import Identity
from certlip.certification.enclosure import Encloser, growth
from certlip.certification.enclosure import equilibrium as enclosing
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.bounds import LowerBound, UpperBound
from certlip.linalg.rigorous.smallest import smallest_singular_value
from certlip.lmi import prove
from certlip.lmi.search import Search
from certlip.lmi.slack import SLACK

seeds = st.integers(0, 2**32 - 1)


def linear(W, U, G):
    """z = Wz + Ux + b_z, y = Gz + b_y: all of it is rational."""
    W, U, G = (torch.tensor(A, dtype=torch.float64) for A in (W, U, G))
    b_z, b_y = torch.tensor([0.25, -0.5], dtype=torch.float64), torch.zeros(len(G)).double()
    return Network([Equilibrium(W, U, G, b_z, b_y, Sigma.of(Identity(), 2))])


#: The second state contracts by 10⁻⁶ only, and the output does not see it.
SLOW = (
    [[0.9, 0.0], [0.0, 1.0 - 1e-6]],
    [[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]],
    [[1.0, 0.0], [0.0, 0.0]],
)


class Off:
    """The states of a linear equilibrium with diagonal W, off by a fixed vector."""

    def __init__(self, block, by):
        self.W, self.U, self.b = (A.numpy() for A in (block.W, block.U, block.b_z))
        self.by = np.array(by)

    def block(self, _k, y, _start):
        return (y @ self.U.T + self.b) / (1.0 - np.diag(self.W)) + self.by

    def polish(self, _k):
        return None


def enclosed(network, by):
    """The enclosure from states that are off, the true distances squared, and the proof with Γ = I."""
    proof = prove(network, search=Search("structured"))
    (block,), (own,) = network.blocks, proof.blocks
    w = np.diag(block.W.numpy())  # W is diagonal: the eigenvalues of (3) are 1 − w
    gain = float(np.linalg.norm(block.G.numpy(), 2)) * (1 + 1e-12)
    mu = LowerBound(float(1 - w.max()) * (1 - 1e-12))
    own = replace(own, gam=np.ones(len(w)), mu=mu, gam_root_G=UpperBound(gain))
    encloser = Encloser(network, replace(proof, blocks=(own,)))
    x = np.random.default_rng(0).standard_normal((3, network.in_width))
    encloser.guess = Off(block, by)
    found = encloser(x)
    W, U, G = (np.array(rational(A), dtype=object) for A in (block.W, block.U, block.G))
    truth = []
    for row, y in zip(x, found.y, strict=True):
        c = U.dot(np.array(rational([row])[0])) + np.array(rational([block.b_z])[0])
        off = np.array(rational([y])[0]) - G.dot(c / (1 - np.diag(W)))
        truth.append(off.dot(off))
    return found, truth, own


def holds(found, truth):
    """Whether the bound holds without the room that a producer leaves."""
    pairs = zip(found.error / SLACK, truth, strict=True)
    return all(t <= Fraction(float(e)) ** 2 for e, t in pairs)


@pytest.mark.parametrize("by", [[1e-3, 0.0], [0.0, 1e-3], [1e-3, -1e-3], [-1e-9, 1e-5]])
def test_an_unseen_weak_contraction_costs_nothing(by):
    found, truth, own = enclosed(linear(*SLOW), by)
    assert holds(found, truth)
    assert own.mu.value < 1.1e-6
    assert (found.error <= 30 * np.abs(by).max()).all()


def test_the_smaller_factor_is_taken():
    _, _, own = enclosed(linear(*SLOW), [0.0, 0.0])
    U = np.array(SLOW[1])
    by_margin = own.gam_root_G.value / own.mu.value
    least = np.linalg.svd(np.sqrt(own.gam)[:, None] * U, compute_uv=False).min()
    assert growth.growth(U, own) == pytest.approx(own.lip.value / least, rel=1e-4)
    assert growth.growth(U, own) < 0.5 * by_margin
    assert growth.growth(U[:, :1], own) == pytest.approx(by_margin)  # fewer inputs than states
    assert growth.growth(np.array([[1.0, 2.0], [2.0, 4.0]]), own) == pytest.approx(by_margin)


@pytest.mark.parametrize("share", [1.0, 1.02, 2.0])
def test_too_large_a_singular_value_would_be_caught(share, monkeypatch):
    """Along the state that the output sees the factor is attained."""
    true = growth.smallest_singular_value
    monkeypatch.setattr(
        growth, "smallest_singular_value", lambda *a, **k: LowerBound(share * true(*a, **k).value)
    )
    W, _, G = SLOW
    found, truth, _ = enclosed(linear(W, [[1.0, 0.0], [0.0, 1.0]], G), [1e-3, 0.0])
    assert holds(found, truth) == (share < 1.01)


def test_a_state_that_no_input_reaches_needs_the_margin(monkeypatch):
    """U of rank one: L knows nothing of the second state, which the output sees."""
    W, U, G = [[0.5, 0.0], [0.0, 0.999]], [[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 1.0]]
    found, truth, _ = enclosed(linear(W, U, G), [0.0, 1e-3])
    assert holds(found, truth)
    monkeypatch.setattr(growth, "smallest_singular_value", lambda *a, **k: LowerBound(1.0))
    found, truth, _ = enclosed(linear(W, U, G), [0.0, 1e-3])
    assert not holds(found, truth)


def test_without_We_it_would_be_caught(monkeypatch):
    monkeypatch.setattr(enclosing, "growth", lambda *_: 0.0)
    found, truth, _ = enclosed(linear(*SLOW), [1e-3, 0.0])
    assert not holds(found, truth)


@settings(deadline=None, max_examples=80)
@given(
    *(seeds, st.integers(1, 4), st.integers(1, 6), st.floats(-17, 0)),
    *(st.sampled_from([0, -90, 90, -118, 118, -160, -308]), st.booleans()),
)
def test_singular_values_are_lower_bounds(seed, m, n, exponent, scale, blurred):
    """AAᵀ ⪰ s²I in rationals; rows are nearly dependent for small exponents."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n))
    A[-1] = A[0] + 10.0**exponent * A[-1] if m > 1 else A[-1]
    A = A * 10.0**scale
    R = np.abs(A) * 10.0**exponent * 1e-2 * blurred
    s = smallest_singular_value(Ball(A, R)).value
    if s > 0.0:
        inside = A + rng.choice([-1.0, 1.0], A.shape) * R * (1 - 1e-12)
        rows = rational(inside)
        gram = product(rows, transposed(rows))
        below = Fraction(s) ** 2 * (1 - Fraction(1, 10**30))
        assert definite(
            [[g - below * (i == j) for j, g in enumerate(r)] for i, r in enumerate(gram)]
        )
    if m > n:
        assert s == 0.0
    elif exponent > -3 and abs(scale) < 100 and not blurred:
        assert s >= 0.999 * np.linalg.svd(A, compute_uv=False).min()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 5e-324, 1e300, 0.0])
def test_nothing_is_claimed_of_numbers_out_of_range(bad):
    assert smallest_singular_value(np.full((1, 2), bad)).value == 0.0
