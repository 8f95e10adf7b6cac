"""The structured solver finds the least L, says truly how near it is, and ends whatever it is given."""

import math

import numpy as np
import pytest
import torch
from conv_nets import conv_lben, conv_mondeq
from cvxpy_nets import chain, closed_lip, only, solver
from hypothesis import given, settings
from hypothesis import strategies as st
from lmi_nets import block_of, largest_pattern_slope, mondeq_block, parts_with_margin

from certlip.blocks.dense_form import dense_form
from certlip.errors import InputError
from certlip.lmi.candidate import FAILED, INACCURATE, OPTIMAL, STATUSES, STOPPED
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.interior.lipschitz import LipschitzBarrier
from certlip.lmi.problem import Problem
from certlip.lmi.solvers.structured import Structured
from certlip.lmi.solvers.units import Units

seeds = st.integers(0, 2**32 - 1)


def found(block, start=None, **options):
    return only(Structured(**options).minimise(Problem.of(block), start))


def best(block, **options):
    """The candidate, which must be proven at its L and be as near to the least one as asked."""
    candidate = found(block, **options)
    assert candidate.status == OPTIMAL, candidate.message
    assert candidate.solver == "structured"
    assert candidate.iterations > 0
    assert candidate.gap <= options.get("tol", 1e-6)
    assert holds(block, candidate, 1 + 1e-9)
    return candidate


def holds(block, candidate, factor=1.0):
    lip = candidate.lip * factor
    return Everywhere(block).definite(lambda each: each.lipschitz(candidate.lam, lip))


# --- what is known in closed form ----------------------------------------------------------------


@settings(max_examples=4)
@given(w=st.floats(-50.0, 0.99), u=st.floats(0.01, 100.0), g=st.floats(-100.0, -0.01))
def test_a_scalar_block_has_the_slope_where_it_is_active(w, u, g):
    candidate = best(block_of([[w]], [[u]], [[g]]))
    true = -g * u / (1 - w)
    assert true * (1 - 1e-12) <= candidate.lip <= true * (1 + 2e-6)
    assert candidate.lam[0] == pytest.approx(candidate.lip * (1 - w) / u**2, rel=1e-2)
    for tol in (0.3, 1e-3):
        rough = best(block_of([[w]], [[u]], [[g]]), tol=tol)
        assert rough.lip * (1 - rough.gap) <= true <= rough.lip


@pytest.mark.parametrize("n", [1, 4])
def test_the_identity_has_one(n):
    assert best(block_of(np.zeros((n, n)), np.eye(n), np.eye(n))).lip == pytest.approx(
        1.0, rel=2e-6
    )


def test_a_difference_of_two_relus_has_one_and_never_less():
    candidate = best(block_of(np.zeros((2, 2)), [[1.0], [1.0]], [[1.0, -1.0]]))
    assert 1.0 <= candidate.lip <= 1 + 2e-6


@settings(max_examples=3)
@given(seed=seeds)
def test_units_that_do_not_meet_have_the_largest_of_their_bounds(seed):
    rng = np.random.default_rng(seed)
    w, u, g = rng.uniform(-3.0, 0.9, 4), rng.uniform(0.1, 3.0, 4), rng.uniform(0.1, 3.0, 4)
    true = (g * u / (1 - w)).max()
    candidate = best(block_of(np.diag(w), np.diag(u), np.diag(g)))
    assert true * (1 - 1e-12) <= candidate.lip <= true * (1 + 2e-6)


@settings(max_examples=3)
@given(seed=seeds, q=st.integers(1, 3), r=st.integers(1, 3))
def test_without_w_no_multiplier_does_better(seed, q, r):
    """W = 0: every Λ̃ ≻ GᵀG/2 gives a bound, and none is below what is found."""
    rng = np.random.default_rng(seed)
    W, U, G = np.zeros((3, 3)), rng.standard_normal((3, r)), rng.standard_normal((q, 3))
    candidate = best(block_of(W, U, G))
    tilde = candidate.lip * candidate.lam
    assert closed_lip(W, U, G, tilde) == pytest.approx(candidate.lip, rel=1e-5)
    for _ in range(40):
        nearby = tilde * np.exp(10.0 ** rng.uniform(-3, 0) * rng.standard_normal(3))
        assert closed_lip(W, U, G, nearby) >= candidate.lip * (1 - candidate.gap)


@pytest.mark.parametrize(("tol", "seed"), [(1e-1, 0), (1e-3, 1), (1e-6, 2), (1e-9, 3)])
def test_a_smaller_tol_is_nearer_to_the_truth(tol, seed):
    block = mondeq_block(seed)
    candidate = best(block, tol=tol)
    truth = found(block, tol=1e-11)
    assert truth.gap < 1e-10
    assert truth.lip * (1 - 1e-10) <= candidate.lip <= truth.lip * (1 + tol)
    assert candidate.iterations < truth.iterations


# --- what other solvers say ----------------------------------------------------------------------


def assert_as_good_as(block, **options):
    """Clarabel's L lies within the gap that the structured solver says to have left."""
    ours = best(block)
    theirs = only(solver("clarabel", **options).minimise(Problem.of(block)))
    assert theirs.status in (OPTIMAL, INACCURATE)
    assert ours.lip == pytest.approx(theirs.lip, rel=1e-4)
    assert theirs.lip >= ours.lip * (1 - ours.gap) * (1 - 1e-6)
    return ours


@pytest.mark.parametrize(("seed", "n", "d", "q"), [(0, 5, 3, 2), (1, 3, 6, 4), (2, 6, 1, 1)])
def test_a_cone_solver_finds_no_less(seed, n, d, q):
    parts, _ = parts_with_margin(seed, n=n, d=d, q=q)
    block = block_of(parts["W"], parts["U"], parts["G"])
    assert assert_as_good_as(block).lip >= largest_pattern_slope(block)


def test_a_cone_solver_finds_no_less_for_a_convolution():
    assert_as_good_as(conv_mondeq(3, height=3, width=2))


@pytest.mark.parametrize(("make", "sides"), [(conv_mondeq, (2, 3)), (conv_lben, (3, 3))])
def test_a_convolution_has_the_bound_of_its_matrix(make, sides):
    """All multipliers of the matrix may differ, yet by convexity none are better than one per channel."""
    block = make(5, height=sides[0], width=sides[1])
    own = best(block)
    whole = best(*dense_form(block))
    assert own.lip == pytest.approx(whole.lip, rel=4e-6)
    assert own.lam.shape == (block.n,)


@pytest.mark.parametrize("lip", [1.3, 1.01])
def test_a_chain_is_below_the_product_of_norms(lip):
    W, U, G, product = chain((3, 5, 4, 2), 1.0)
    block = block_of(W, U, G)
    assert largest_pattern_slope(block) <= best(block).lip < product
    feasible = only(Structured().feasible(Problem.of(block), lip * best(block).lip))
    assert holds(block, feasible)


def test_layers_far_above_norm_one_need_a_metric_and_get_one():
    W, U, G, product = chain((3, 4, 4, 4, 3, 2), 30.0)
    block = block_of(W, U, G)
    assert largest_pattern_slope(block) <= best(block).lip < product


# --- batches -------------------------------------------------------------------------------------


def test_rows_of_one_batch_have_the_bounds_they_have_alone():
    parts, _ = parts_with_margin(4, n=5, q=4)
    block = block_of(parts["W"], parts["U"], parts["G"])
    rows = torch.from_numpy(np.vstack([parts["G"], parts["G"][0] - parts["G"][1]]))
    rows[2] *= 1e-8
    rows[1] = 0.0
    together = Structured().minimise(Problem.of_rows(block, rows))
    assert len(together) == 5
    for row, candidate in zip(rows, together, strict=True):
        alone = only(Structured().minimise(Problem.of_rows(block, row[None])))
        one = block_of(parts["W"], parts["U"], row[None].numpy())
        assert candidate.status == alone.status == OPTIMAL
        assert holds(one, candidate, 1 + 1e-9)
        assert (row == 0.0).all() or candidate.lip == pytest.approx(alone.lip, rel=2e-6)


def test_a_feasible_l_is_asked_of_each_row():
    parts, _ = parts_with_margin(4, n=5, q=3)
    block = block_of(parts["W"], parts["U"], parts["G"])
    problem = Problem.of_rows(block, torch.from_numpy(parts["G"]))
    lips = sorted(candidate.lip for candidate in Structured().minimise(problem))
    middle = 0.5 * (lips[0] + lips[1])
    answers = Structured().feasible(problem, middle)
    assert sorted(answer.status for answer in answers) == [FAILED, FAILED, OPTIMAL]
    assert all("out of reach" in answer.message for answer in answers if answer.status == FAILED)
    assert all((answer.lam is None) == (answer.status == FAILED) for answer in answers)


@settings(max_examples=3)
@given(seed=seeds, share=st.floats(-1e-2, 1e-2))
def test_an_l_is_feasible_just_above_the_least_one_and_not_below(seed, share):
    parts, _ = parts_with_margin(seed)
    block = block_of(parts["W"], parts["U"], parts["G"])
    least = best(block).lip
    candidate = only(Structured().feasible(Problem.of(block), least * (1 + share)))
    if share > 4e-6:
        assert candidate.status == OPTIMAL
        assert candidate.lip == least * (1 + share)
        assert holds(block, candidate)
    elif share < -4e-6:
        assert candidate.status == FAILED


# --- sizes, starts, edges ------------------------------------------------------------------------


def margin_block(seed=3):
    parts, _ = parts_with_margin(seed)
    return parts["W"], parts["U"], parts["G"]


@pytest.mark.parametrize(
    ("u", "g"), [(-12, 0), (12, 0), (0, -12), (0, 12), (-12, -12), (100, -100)]
)
def test_units_of_inputs_and_outputs_do_not_matter(u, g):
    W, U, G = margin_block()
    ours = best(block_of(W, U * 10.0**u, G * 10.0**g))
    assert ours.lip / 10.0 ** (u + g) == pytest.approx(best(block_of(W, U, G)).lip, rel=2e-6)


@pytest.mark.parametrize("spread", [3, 6, 12])
def test_units_of_states_do_not_matter(spread):
    W, U, G = margin_block()
    t = 10.0 ** np.linspace(-spread / 2, spread / 2, 5)[[2, 0, 4, 1, 3]]
    other = best(block_of(W * t / t[:, None], U / t[:, None], G * t))
    assert other.lip == pytest.approx(best(block_of(W, U, G)).lip, rel=2e-6)


def test_units_are_exact():
    W, U, G = margin_block()
    problem = Problem.of(block_of(W, U * 1e20, G / 1e15))
    units = Units.of(problem)
    back = units.scaled(problem)
    t = units.t
    assert torch.equal(t.log2(), t.log2().round())
    assert torch.equal(back.W * t[:, None] / t, problem.W)
    assert torch.equal(back.U * t[:, None] * units.u, problem.U)
    assert torch.equal(back.G / t * units.g, problem.G)
    assert 0.5 < back.U.abs().max() < 2.0
    assert 0.5 < back.G.abs().max() < 2.0


def test_units_translate_multipliers():
    W, U, G = margin_block()
    problem = Problem.of(block_of(W, U * 1e3, G / 1e5))
    units = Units.of(problem)
    scaled = units.scaled(problem)
    lam, lip = torch.linspace(1.0, 2.0, 5).double(), 0.7

    def condition(p, lam, lip):
        Lam = torch.diag(lam)
        half = Lam - Lam @ p.W[0]
        return half + half.T - (p.G[0, 0].T @ p.G[0, 0] + Lam @ p.U[0] @ p.U[0].T @ Lam) / lip

    mine = condition(scaled, lam, lip) * units.g / units.u / units.t / units.t[:, None]
    torch.testing.assert_close(mine, condition(problem, units.lam(lam), units.lip(lip)))
    torch.testing.assert_close(units.gam(lam) * units.t**2, lam)


@settings(max_examples=3)
@given(seed=seeds, spread=st.floats(0.0, 12.0), factor=st.floats(-200.0, 200.0))
def test_any_start_ends_at_the_same_bound(seed, spread, factor):
    W, U, G = margin_block()
    block = block_of(W, U, G)
    start = 10.0 ** (factor + np.random.default_rng(seed).uniform(-spread, 0.0, 5))
    candidate = found(block, start)
    assert candidate.status == OPTIMAL
    assert candidate.lip == pytest.approx(best(block).lip, rel=2e-6)


def test_a_start_with_one_tiny_multiplier_does_not_hide_the_optimum():
    block = block_of(np.zeros((2, 2)), np.eye(2), np.eye(2))
    for start in ([1.0, 1e-12], [1e-12, 1.0]):
        candidate = found(block, np.array(start))
        assert candidate.lip == pytest.approx(1.0, rel=2e-6), start


@pytest.mark.parametrize("start", [[1, -1], [-1, -1], [0, 1], [math.nan, 1], [math.inf, 1], [0, 0]])
def test_a_start_that_is_none_is_not_used(start):
    block = block_of([[0.3, -0.5], [0.7, 0.1]], np.eye(2), np.eye(2))
    candidate = found(block, np.array(start, dtype=float))
    assert candidate.status == OPTIMAL
    assert candidate.lip == pytest.approx(best(block).lip, rel=2e-6)


@pytest.mark.parametrize("mu", [1e-3, 1e-6, 1e-9])
def test_at_the_edge_of_monotone_the_bound_is_honest(mu):
    w = 1 - mu
    candidate = found(block_of([[w]], [[1.0]], [[1.0]]))
    true = 1 / (1 - w)
    assert true <= candidate.lip * (1 + 1e-6)
    assert candidate.lip * (1 - candidate.gap) <= true * (1 + 1e-6)
    S = np.array([[0.0, 2.0], [-2.0, 0.0]])
    block = block_of(w * np.eye(2) + S, np.eye(2), np.eye(2))
    both = found(block)
    assert both.lam is not None
    assert holds(block, both, 1 + 1e-3)


ALL_BUT_ONE = np.array([0.0, 1.0, 1.0, 1.0, 1.0])
DEAD = {
    "rows of U": lambda W, U, G: (W, U * [[0], [1], [0], [1], [1]], G),
    "a constant unit": lambda W, U, G: (W * ALL_BUT_ONE[:, None], U * ALL_BUT_ONE[:, None], G),
    "a unit that nothing reads": lambda W, U, G: (W * ALL_BUT_ONE, U, G * ALL_BUT_ONE),
    "one row of U": lambda W, U, G: (W, U * [[1], [0], [0], [0], [0]], G),
    "one column of G": lambda W, U, G: (W, U, G * [1, 0, 0, 0, 0]),
    "one input": lambda W, U, G: (W, U[:, :1], G),
    "one output": lambda W, U, G: (W, U, G[:1]),
    "many inputs": lambda W, U, G: (W, np.tile(U, 9), G),
}


@pytest.mark.parametrize("name", DEAD)
def test_units_without_a_part_in_it_get_multipliers_all_the_same(name):
    W, U, G = DEAD[name](*margin_block())
    block = block_of(W, U, G)
    candidate = best(block)
    assert (candidate.lam > 0).all()
    assert candidate.lip >= largest_pattern_slope(block) * (1 - 1e-12)
    theirs = only(solver("clarabel").minimise(Problem.of(block)))
    assert candidate.lip == pytest.approx(theirs.lip, rel=1e-4)


@pytest.mark.parametrize("lip", [None, 1e-30, 1e-3, 7.0, 1e30])
@pytest.mark.parametrize(("u", "g"), [(0, 1), (1, 0), (0, 0), (0, 1e50), (1e-50, 0)])
def test_constant_maps_have_any_bound(u, g, lip):
    for kind in (lambda W, U, G: block_of(W, U, G), lambda *_: mondeq_block(1)):
        block = kind(*margin_block())
        block = block_of(block.W, u * block.U, g * block.G)
        problem = Problem.of(block)
        answers = (
            Structured().minimise(problem) if lip is None else Structured().feasible(problem, lip)
        )
        candidate = only(answers)
        assert candidate.status == OPTIMAL
        assert "constant" in candidate.message
        assert lip is None or candidate.lip == lip
        assert holds(block, candidate)


def test_a_constant_convolution_has_any_bound():
    block = conv_mondeq(0)
    for still in (
        Problem(*(getattr(Problem.of(block), a) * f for a, f in zip("WUG", s, strict=True)))
        for s in ((1, 0, 1), (1, 1, 0), (1, 0, 0))
    ):
        candidate = only(Structured().minimise(still))
        assert candidate.status == OPTIMAL
        assert np.isfinite(candidate.lam).all()


@pytest.mark.parametrize(
    "W",
    [
        [[2.0]],
        [[1.0]],
        [[0.0, 4.0], [4.0, 0.0]],
        [[-1.0, 3.0, 0.0], [3.0, -1.0, 0.0], [0.0, 0.0, 0.5]],
    ],
)
def test_a_block_that_is_not_monotone_fails(W):
    n = len(W)
    candidate = found(block_of(W, np.eye(n), np.eye(n)))
    assert candidate.status == FAILED
    assert candidate.lam is None
    assert candidate.lip == math.inf
    assert "(3)" in candidate.message
    assert Structured().monotone(Problem.of(block_of(W, np.eye(n), np.eye(n)))) is None


@pytest.mark.parametrize("exponent", [-320, -300, -200, -160, 120, 160, 200, 300])
@pytest.mark.parametrize("which", ["W", "U", "G", "UG", "all"])
@pytest.mark.filterwarnings("error")
def test_numbers_that_overflow_end_without_a_raw_error(exponent, which):
    parts = dict(zip("WUG", margin_block(), strict=True))
    for name in "WUG" if which == "all" else which:
        parts[name] = parts[name] * 10.0**exponent
    candidate = found(block_of(parts["W"], parts["U"], parts["G"]))
    assert candidate.status in STATUSES
    assert candidate.lam is None or (np.isfinite(candidate.lam).all() and (candidate.lam > 0).all())
    assert candidate.lam is None or 0 < candidate.lip < math.inf


@pytest.mark.parametrize("size", [1e150, 1e300])
@pytest.mark.parametrize(
    "W", [[[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, 0], [-1, 0]], [[1, 0], [0, 1]]]
)
def test_a_huge_w_ends_without_a_raw_error(size, W):
    candidate = found(block_of(size * np.array(W), np.eye(2), np.eye(2)))
    assert candidate.lam is None or np.isfinite(candidate.lam).all()


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-1.0, 0, 0.0, 1e-9, 1e-3])
def test_a_limit_of_time_leaves_what_can_be_proven(seconds):
    block = mondeq_block(2)
    candidate = found(block, max_seconds=seconds)
    assert candidate.status in (STOPPED, OPTIMAL)
    assert candidate.lip >= found(block).lip * (1 - 2e-6)
    assert holds(block, candidate, 1 + 1e-9)


def test_a_limit_of_time_may_come_before_any_multipliers():
    """(3) in a metric that is not the identity, and no time to find it."""
    W = np.array([[0.0, -0.9], [4.0, 0.9]])
    block = block_of(W, np.eye(2), np.eye(2))
    assert best(block).lip >= largest_pattern_slope(block)
    candidate = found(block, max_seconds=0.0)
    assert candidate.status == STOPPED
    assert candidate.lam is None
    assert "no time" in candidate.message


def test_a_start_is_read_in_the_units_of_the_block():
    """Without time to find a metric, the given one is what is left."""
    t = np.array([1.0, 256.0])
    W = np.array([[0.0, -0.9], [20.0, 0.9]]) * t / t[:, None]
    block = block_of(W, np.eye(2) / t[:, None], np.eye(2) * t)
    gam = Structured().monotone(Problem.of(block))
    half = gam[:, None] * (np.eye(2) - W) / np.sqrt(gam) / np.sqrt(gam)[:, None]
    assert np.linalg.eigvalsh(half + half.T)[0] > 1e-3
    assert found(block, max_seconds=0.0).lam is None
    candidate = found(block, gam, max_seconds=0.0)
    assert candidate.status == STOPPED
    assert holds(block, candidate, 1 + 1e-9)


@pytest.mark.parametrize("steps", range(1, 40, 6))
def test_stopped_at_any_step_the_answer_is_inside(steps, monkeypatch):
    block = mondeq_block(4)
    least = found(block).lip
    now = iter(range(10**6))
    monkeypatch.setattr("certlip.lmi.solvers.structured.time.monotonic", lambda: next(now))
    candidate = found(block, max_seconds=float(steps))
    assert candidate.lam is not None
    assert candidate.lip >= least * (1 - 2e-6)
    assert candidate.lip * (1 - min(candidate.gap, 1.0)) <= least
    assert holds(block, candidate, 1 + 1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tol": 0.0}, "tol"),
        ({"tol": 0}, "tol"),
        ({"tol": 1.0}, "tol"),
        ({"tol": -1e-6}, "tol"),
        ({"tol": math.nan}, "tol"),
        ({"tol": math.inf}, "tol"),
        ({"tol": True}, "expected float"),
        ({"tol": "1e-6"}, "expected float"),
        ({"max_seconds": math.nan}, "max_seconds"),
        ({"max_seconds": None}, "expected float"),
        ({"max_second": 1.0}, "did you mean 'max_seconds'"),
        ({"eps_abs": 1.0}, "no option 'eps_abs'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        Structured(**options)


def test_progress_tells_l_and_its_gap():
    ours, seen = Structured(), []
    ours.progress = lambda *said: seen.append(said)
    candidate = only(ours.minimise(Problem.of(mondeq_block(0, scale=1e5))))
    steps, lips, gaps = zip(*seen, strict=True)
    assert list(steps) == list(range(1, candidate.iterations + 1))
    assert lips[-1][0] == pytest.approx(candidate.lip, rel=1e-5)
    assert all(
        lip[0] * (1 - min(gap[0], 1.0)) <= candidate.lip
        for lip, gap in zip(lips, gaps, strict=True)
    )
    assert gaps[-1][0] < 1e-4


def test_a_barrier_that_breaks_down_is_no_answer_of_quality(monkeypatch):
    honest = LipschitzBarrier.derivatives

    def broken(self, x, kept):
        g, H = honest(self, x, kept)
        return g * math.nan, H

    monkeypatch.setattr(LipschitzBarrier, "derivatives", broken)
    block = mondeq_block(0)
    candidate = found(block)
    assert candidate.status == INACCURATE
    assert candidate.gap == math.inf
    assert holds(block, candidate)  # the start is inside
