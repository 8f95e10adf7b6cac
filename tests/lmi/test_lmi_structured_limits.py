"""The structured solver ends whatever it is given: dead units, numbers that overflow, limits."""

import math

import numpy as np
import pytest
from conv_nets import conv_mondeq
from cvxpy_nets import only, solver
from lmi_nets import block_of, largest_pattern_slope, mondeq_block
from structured_nets import best, found, holds, margin_block

from certlip.errors import InputError
from certlip.lmi.candidate import FAILED, INACCURATE, OPTIMAL, STATUSES, STOPPED
from certlip.lmi.interior.lipschitz import LipschitzBarrier
from certlip.lmi.problem import Problem
from certlip.lmi.solvers.structured import Structured

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
