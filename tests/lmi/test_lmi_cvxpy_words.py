"""No word of a solver is a proof, every word is known, and every failure is one line."""

import math

import numpy as np
import pytest
from cvxpy_nets import (
    NAMES,
    RELU_DIFFERENCE,
    arrays,
    every_solver,
    found,
    only,
    proven,
    solver,
)
from exact import definite, lipschitz
from hypothesis import given
from hypothesis import strategies as st
from lmi_nets import block_of, mondeq_block

from certlip.errors import InputError
from certlip.lmi.candidate import FAILED, OPTIMAL, STATUSES, STOPPED
from certlip.lmi.problem import Problem
from certlip.lmi.solvers import SOLVERS
from certlip.lmi.solvers.clarabel import Clarabel
from certlip.lmi.solvers.mosek import Mosek
from certlip.lmi.solvers.scs import INTERRUPTED, Scs
from certlip.lmi.solvers.through_cvxpy import Answer

PROBLEM = Problem.of(mondeq_block(0))


class Liar(Clarabel):
    """Answers what it was told to, and that it is solved."""

    def __init__(self, mu, value, status=OPTIMAL):
        super().__init__()
        self.lie = Answer(status, "Solved", 1, np.asarray(mu), value)

    def answer(self, program, end):
        return self.lie


def test_an_optimum_that_is_none_is_refused_by_the_proof():
    best = found("clarabel", RELU_DIFFERENCE)
    lie = only(Liar([1.0, 1.0], 0.01).minimise(Problem.of(RELU_DIFFERENCE)))
    assert lie.status == OPTIMAL
    assert lie.lam is not None
    assert lie.lip < 0.5 * best.lip
    assert not proven(RELU_DIFFERENCE, lie)
    assert not definite(lipschitz(*arrays(RELU_DIFFERENCE), lie.lam, lie.lip))


@pytest.mark.parametrize(
    ("mu", "value"),
    [
        ([1.0, np.nan], 1.0),
        ([1.0, np.inf], 1.0),
        ([1.0, 0.0], 1.0),
        ([1.0, -1.0], 1.0),
        ([1.0], 1.0),
        ([[1.0, 1.0]], 1.0),
        ([1.0, 1.0], math.nan),
        ([1.0, 1.0], math.inf),
        ([1.0, 1.0], 0.0),
        ([1.0, 1.0], -1.0),
    ],
)
def test_what_could_not_be_multipliers_is_a_failure(mu, value):
    solver("clarabel")
    liar, problem = Liar(mu, value), Problem.of(RELU_DIFFERENCE)
    candidates = [only(liar.minimise(problem))]
    if not 0.0 <= abs(value) < math.inf or mu != [1.0, 1.0]:  # at a given L the value is a margin
        candidates.append(only(liar.feasible(problem, 1.0)))
    for candidate in candidates:
        assert (candidate.status, candidate.lam) == (FAILED, None)
        assert "but" in candidate.message


def test_numbers_of_a_failure_are_not_looked_at():
    solver("clarabel")
    candidate = only(Liar([1.0, 1.0], 1.0, FAILED).minimise(Problem.of(RELU_DIFFERENCE)))
    assert (candidate.status, candidate.lam) == (FAILED, None)


def test_numbers_that_overflow_are_a_failure():
    block = block_of(np.zeros((2, 2)), np.full((2, 1), 1e300), np.full((1, 2), 1e300))
    candidate = only(solver("clarabel").minimise(Problem.of(block)))
    assert (candidate.status, candidate.lam) == (FAILED, None)
    assert "overflow" in candidate.message


def test_every_word_of_clarabel_is_known():
    clarabel = pytest.importorskip("clarabel")
    words = {word for word in dir(clarabel.SolverStatus) if word[0] != "_"}
    assert words == set(SOLVERS["clarabel"].statuses)


def test_every_number_of_scs_is_known():
    scs = pytest.importorskip("scs")
    numbers = {n: v for n, v in vars(scs).items() if n.isupper() and isinstance(v, int)}
    assert len(numbers) >= 10
    for name, number in numbers.items():
        raw = {"info": {"status_val": number, "status": name.lower(), "iter": 7}}
        if number == INTERRUPTED:
            with pytest.raises(KeyboardInterrupt):
                Scs().said(raw)
        else:
            word, iterations = Scs().said(raw)
            assert iterations == 7
            status = Scs.statuses[word]
            assert (status == OPTIMAL) == (name == "SOLVED"), name
            assert (status != FAILED) == name.startswith("SOLVED"), name
    text = "solved (inaccurate - reached time_limit_secs)"
    limit = {"info": {"status_val": scs.SOLVED_INACCURATE, "status": text, "iter": 1}}
    assert Scs.statuses[Scs().said(limit)[0]] == STOPPED


def test_every_word_of_mosek_is_known():
    mosek = pytest.importorskip("mosek")
    assert {str(m).split(".")[1] for m in mosek.solsta.members()} == set(Mosek.statuses)


def test_all_words_have_one_of_our_statuses():
    for name in NAMES:
        assert set(SOLVERS[name].statuses.values()) <= set(STATUSES)


@every_solver
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("first\nsecond"), "first"),
        (RuntimeError(), "RuntimeError"),
        (type("PanicException", (BaseException,), {})("index out of bounds"), "index out"),
    ],
)
def test_a_solver_that_raises_is_a_failure_in_one_line(name, error, message, monkeypatch):
    def broken(*args, **kwargs):
        raise error

    from cvxpy.reductions.solvers.solving_chain import SolvingChain

    made = solver(name)
    monkeypatch.setattr(SolvingChain, "solve_via_data", broken)
    for candidate in (only(made.minimise(PROBLEM)), only(made.feasible(PROBLEM, 10.0))):
        assert (candidate.status, candidate.lam) == (FAILED, None)
        assert candidate.message.startswith(message)
        assert "\n" not in candidate.message


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_not_a_failure(error, monkeypatch):
    def interrupted(*args, **kwargs):
        raise error

    made = solver("scs")
    from cvxpy.reductions.solvers.solving_chain import SolvingChain

    monkeypatch.setattr(SolvingChain, "solve_via_data", interrupted)
    with pytest.raises(error):
        made.minimise(PROBLEM)


@given(lip=st.sampled_from([0.0, -1.0, float("nan"), float("inf")]))
def test_an_l_that_is_not_positive_and_finite_is_refused(lip):
    with pytest.raises(InputError, match="positive and finite"):
        solver("clarabel").feasible(PROBLEM, lip)


def test_nothing_is_printed(capfd):
    for name in ("clarabel", "scs"):
        solver(name).minimise(PROBLEM)
        solver(name, max_seconds=1e-9).minimise(PROBLEM)
    assert capfd.readouterr() == ("", "")
