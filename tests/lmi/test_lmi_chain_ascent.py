"""The dual of chains in vectors: its bounds, its multipliers, and rounds that do not grow with depth."""

import itertools
import math

import pytest
import torch
from chain_algebra import matrix, seeds, shapes
from chain_nets import chain_of, random_chain, random_matrices
from hypothesis import given, settings
from hypothesis import strategies as st

from certlip.lmi.chain import ascent, minimise_chain
from certlip.lmi.chain import raised as rounds
from certlip.lmi.chain.ascent import Ascent
from certlip.lmi.chain.raised import raised
from certlip.lmi.chain.recursion import schur_factors
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.start import boundary, lifted


def of(chain):
    scaled = ScaledChain.of(chain)
    assert scaled is not None
    return scaled


def never():
    return False


def turned(own, seed):
    """Another start: each layer's vectors turned by an orthogonal matrix of their own."""
    rng = torch.Generator().manual_seed(seed)
    r = own.first.shape[1]
    for k in range(len(own.u)):
        Q = torch.linalg.qr(torch.randn(r, r, generator=rng).double()).Q
        own.u[k], own.ahead[k] = own.u[k] @ Q, own.ahead[k] @ Q
    return own


@settings(deadline=None, max_examples=30)
@given(seeds, shapes, st.integers(1, 6))
def test_every_round_bounds_every_feasible_point_from_below(seed, widths, rank):
    """At any rank, from the first round on; `lower` only rises."""
    chain = of(random_chain(seed, widths))
    best = boundary(chain, None)
    assert best is not None
    own, seen = Ascent(chain, rank), [0.0]
    for _ in range(12):
        own.round()
        seen.append(own.lower)
    assert all(a <= b for a, b in itertools.pairwise(seen))
    assert 0.0 < seen[-1] <= best[1] * (1 + 1e-9)
    done = raised(chain, 1e-7, never)
    assert seen[-1] <= done.rho * (1 + 1e-9)


@settings(deadline=None, max_examples=20)
@given(seeds, shapes, st.integers(1, 6))
def test_the_vectors_of_a_round_are_dual_feasible(seed, widths, rank):
    """tr S(Λ̃, ρ)Z ≥ 0 would give the same bound: diag(AZ) ≥ diag(Z) with Z = VVᵀ, and its quotient."""
    chain = of(random_chain(seed, widths))
    own = Ascent(chain, rank)
    for _ in range(5):
        own.round()
    start = own.start / own.start.norm()
    hs, V, logs = own._forwards()
    before, scale = start, 0.0
    for k, h in enumerate(hs):
        now = 0.5 * (h + h.norm(dim=1, keepdim=True) * own.ahead[k]) * logs[k].exp()
        arrives = chain.A[k] @ before
        slack = (now * arrives).sum(1) - (now * now).sum(1)
        scale = float((now * now).sum())
        assert float(slack.min()) >= -1e-12 * scale
        before = now
    torch.testing.assert_close(before, V * logs[-1].exp())
    own.round()
    quotient = float((chain.A[-1] @ before).norm() ** 2)
    assert math.exp(own.value) == pytest.approx(quotient, rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(seeds, shapes)
def test_without_momentum_no_round_lowers_the_bound(seed, widths):
    """Not even where every layer has been turned by itself."""
    own, values = Ascent(of(random_chain(seed, widths)), 4), []
    for k in range(25):
        own.round()
        values.append(own.value)
        own.ahead, own.start, own.since = list(own.u), own.first, 0
        if k % 5 == 0:
            turned(own, k)
    assert all(b >= a - 1e-12 for a, b in itertools.pairwise(values))


def test_turns_of_single_layers_change_nothing():
    chain = of(random_chain(3, [7] * 9))
    plain, other = Ascent(chain, 5), Ascent(chain, 5)
    for k in range(8):
        plain.round()
        turned(other, k).round()
        if k:  # in the first round nothing is known of the vectors behind
            assert other.value == pytest.approx(plain.value, abs=1e-9)


@pytest.mark.parametrize("widths", [[3, 8, 8, 2], [9] * 12, [5, 12, 2, 12, 4], [4, 30, 3]])
def test_multipliers_prove_what_the_vectors_say(widths):
    """S(Λ̃, ρ) ⪰ 0 with SV = 0, in full."""
    chain = of(random_chain(6, widths))
    own = Ascent(chain)
    for _ in range(250):
        own.round()
    S = matrix(chain, own.lam, own.lower)
    values = torch.linalg.eigvalsh(S)
    assert float(values[0]) >= -1e-6 * float(values[-1])
    assert float(values[0]) <= 1e-6 * float(values[-1])  # on the boundary
    point = lifted(chain, own.lam, 1e-6)
    assert point is not None
    assert own.lower <= point[1] <= own.lower * (1 + 1e-5)
    assert schur_factors(chain, point[0], point[1] * (1 + 1e-6)) is not None


def test_rounds_do_not_grow_with_depth():
    """Layers that do not turn along need several times as many at depth 80."""
    counts = [raised(of(random_chain(1, [8] * depth)), 1e-5, never).rounds for depth in (12, 82)]
    assert counts[1] <= 3 * counts[0]
    own = Ascent(of(random_chain(1, [8] * 82)))
    for _ in range(40):
        own.round()
    early = own.value
    for _ in range(100):
        own.round()
    assert own.value - early < 1e-4


def test_units_and_the_precision_of_the_answer():
    """Matrices of any size, tolerances down to 1e-9."""
    matrices = random_matrices(4, [6, 9, 9, 9, 3])
    small = [A * 2.0**k for A, k in zip(matrices, (-40, 30, 5, -20), strict=True)]
    for tol in (1e-2, 1e-5, 1e-9):
        whole, units = (raised(of(chain_of(those)), tol, never) for those in (matrices, small))
        assert whole.gap <= tol
        assert units.gap <= tol
    lip = minimise_chain(chain_of(matrices), tol=1e-9).lip
    rough = minimise_chain(chain_of(matrices), tol=1e-3).lip
    assert lip <= rough * (1 + 1e-9)
    assert rough <= lip * (1 + 1e-3)


@pytest.mark.parametrize("depth", [4, 12])
def test_what_rounds_do_not_finish_steps_do(depth, monkeypatch):
    """Where the rank is too small the dual bound stays below, whatever the rounds."""
    chain = random_chain(2, [12] * depth)
    whole = minimise_chain(chain)
    monkeypatch.setattr(ascent.Ascent.__init__, "__defaults__", (1,))
    alone = raised(of(chain), 1e-5, never)
    assert alone.rounds == rounds.ROUNDS
    assert alone.gap > 1e-4
    found = minimise_chain(chain)
    assert found.status == "optimal"
    assert found.iterations > rounds.ROUNDS
    assert found.lip == pytest.approx(whole.lip, rel=2e-5)


@pytest.mark.parametrize("last", [0, 3, 33, 63])
def test_rounds_that_are_stopped_leave_the_best_that_is_proven(last):
    """Long before the tolerance is met that is far below the closed form."""
    chain = of(random_chain(0, [9] * 14))
    left = iter(range(last))
    reached = raised(chain, 1e-300, lambda: next(left, None) is None)
    assert reached.rounds == last // rounds.LOOK * rounds.LOOK
    closed = boundary(chain, None)
    assert closed is not None
    if last > 30:
        assert reached.best is not None
        assert schur_factors(chain, reached.best[0], reached.rho * (1 + 1e-6)) is not None
        assert 0.0 < reached.lower <= reached.rho < 0.1 * closed[1]
        assert reached.gap < 0.5
    assert (reached.best is None) == (reached.gap == math.inf)
