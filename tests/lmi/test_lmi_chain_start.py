"""Where the steps of a chain begin, and that they lead on."""

import itertools
import math

import pytest
import torch
from chain_algebra import matrix, point, seeds, shapes
from chain_nets import random_chain
from hypothesis import given, settings

from certlip.lmi.chain import minimise_chain
from certlip.lmi.chain.centre import SWEEPS, _centred, centred, swept
from certlip.lmi.chain.marginals import Marginals, traces
from certlip.lmi.chain.mixing import Mixing
from certlip.lmi.chain.path import Path
from certlip.lmi.chain.recursion import inverse, schur_factors
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.sliding import LAYERS, slid
from certlip.lmi.chain.start import boundary, inside, tightened


@settings(deadline=None, max_examples=20)
@given(seeds, shapes)
def test_sweeps_lower_the_barrier_down_to_the_central_path(seed, widths):
    """ρ/μ − log det S, whose only stationary point has tr(∂S/∂x P) = (0, 1/μ)."""
    chain, lam, rho, _ = point(seed, widths)
    mu = 0.5 * rho / chain.order

    def barrier(lam, rho):
        return rho / mu - float(torch.logdet(matrix(chain, lam, rho)))

    values = [barrier(lam, rho)]
    for _ in range(40):
        moved = swept(chain, lam, rho, mu)
        assert moved is not None
        lam, rho = moved
        values.append(barrier(lam, rho))
    # a layer's last Newton step has length 1 and may end a little past its maximum
    assert all(b <= a + 1e-5 for a, b in itertools.pairwise(values))
    P = inverse(chain, lam, schur_factors(chain, lam, rho))
    by_lam, by_rho = traces(Marginals.of(chain, P.blocks))
    assert float(by_rho) * mu == pytest.approx(1.0, rel=0.1)
    assert float((by_lam * torch.cat(lam)).abs().max()) < 0.5


def test_a_centred_start_is_nearer_to_the_dual():
    """The gap of P after some sweeps, beside that of the closed form."""
    chain = ScaledChain.of(random_chain(1, [9] * 7))
    best = boundary(chain, None)
    assert best is not None
    start = inside(chain, *best)
    assert start is not None
    before, after = Path(chain, best, start), Path(chain, best, centred(chain, start))
    assert after.gap < 0.05 * before.gap


@pytest.mark.parametrize("depth", [LAYERS + 1, 2 * LAYERS, 3 * LAYERS + 1])
def test_windows_of_layers_join_to_a_point_near_the_optimum(depth):
    chain = ScaledChain.of(random_chain(1, [9] * (depth + 2)))
    best, interior = slid(chain, lambda: False)
    assert interior is not None
    assert best is interior
    assert schur_factors(chain, *interior) is not None
    optimum = minimise_chain(random_chain(1, [9] * (depth + 2)))
    closed = boundary(chain, None)
    reached = math.sqrt(tightened(chain, *interior)[1]) * chain.scale()
    assert optimum.lip * (1 - 1e-9) <= reached <= 1.3 * optimum.lip
    assert closed is not None
    assert interior[1] < 0.5 * closed[1]


def test_windows_that_are_stopped_end_in_closed_form():
    """However far they got, what is joined is feasible."""
    chain = ScaledChain.of(random_chain(1, [7] * (3 * LAYERS)))
    looks = itertools.count()  # at the clock
    slid(chain, lambda: next(looks) < 0)
    total, found = next(looks), []
    for last in (0, total // 4, total // 2, total - 2):
        left = iter(range(last))
        best, interior = slid(chain, lambda left=left: next(left, None) is None)
        assert interior is None
        assert best is not None
        lam, rho = tightened(chain, *best)
        assert rho <= best[1] * (1 + 1e-9)
        assert schur_factors(chain, lam, rho * (1 + 1e-6)) is not None
        found.append(rho)
    assert found[-1] < found[0]


def test_a_path_gets_better_from_step_to_step():
    chain = ScaledChain.of(random_chain(3, [4, 6, 6, 6, 3]))
    best = boundary(chain, None)
    assert best is not None
    path = Path(chain, best, inside(chain, *best) or best)
    seen = [(path.best_rho, path.lower)]
    while path.gap > 1e-4:
        assert path.advance()
        seen.append((path.best_rho, path.lower))
    assert all(b[0] <= a[0] and b[1] >= a[1] for a, b in itertools.pairwise(seen))
    assert len(seen) < 25
    rho = path.rho
    assert path.advance(centring=True)
    assert path.rho == pytest.approx(rho, rel=0.1)


def test_mixing_finds_the_fixed_point_of_a_linear_map():
    """In logarithms: after as many moves as there are unknowns, and one more."""
    rng = torch.Generator().manual_seed(0)
    T = torch.randn(4, 4, generator=rng).double()
    T = 0.9 * T / torch.linalg.matrix_norm(T, 2)
    fixed = 0.1 * torch.randn(4, generator=rng).double()

    def logs(point):
        return torch.cat([*point[0], torch.tensor([point[1]]).double()]).log()

    def moved(point):
        y = (fixed + T @ (logs(point) - fixed)).exp()
        return [y[:1], y[1:3]], float(y[3])

    one = torch.ones(3).double()
    mixed = plain = ([one[:1], one[1:]], 1.0)
    mixing = Mixing()
    for _ in range(6):
        mixed, plain = mixing.beyond(mixed, moved(mixed)), moved(plain)
    assert (
        float((logs(plain) - fixed).norm()) > 1e-3
    )  # differences of moves lose digits: not to 1e-16
    assert float((logs(mixed) - fixed).norm()) < 1e-6


def test_mixing_forgets_what_lies_far_back():
    near, far = ([torch.tensor([1.0]).double()], 1.0), ([torch.tensor([2.0]).double()], 5.0)
    mixing = Mixing()
    mixing.beyond(near, near)
    assert mixing.beyond(near, far) is far


def test_single_precision_and_double_are_centred_alike():
    chain = ScaledChain.of(random_chain(1, [9] * 7))
    best = boundary(chain, None)
    assert best is not None
    start = inside(chain, *best)
    assert start is not None
    ours, double = centred(chain, start), _centred(chain, start, SWEEPS)
    assert double is not None
    assert ours[0][0].dtype == torch.float64
    assert ours[1] == pytest.approx(double[1], rel=1e-2)


def test_sweeps_that_single_precision_cannot_do_are_done_in_double():
    """ρ of 1e-60 is 0 there."""
    chain = ScaledChain.of(random_chain(1, [9] * 7))
    best = boundary(chain, None)
    assert best is not None
    start = inside(chain, *best)
    assert start is not None
    small = ScaledChain([1e-30 * chain.A[0], *chain.A[1:]], chain.log_norms)
    ours = centred(small, (start[0], 1e-60 * start[1]))
    assert ours[1] < 0.9e-60 * start[1]
