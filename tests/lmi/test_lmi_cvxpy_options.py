"""Options and limits of solvers through cvxpy."""

import pytest
from cvxpy_nets import (
    NAMES,
    every_solver,
    only,
    solver,
)
from lmi_nets import mondeq_block

from certlip.errors import InputError
from certlip.lmi.candidate import FAILED, OPTIMAL, STOPPED
from certlip.lmi.problem import Problem
from certlip.lmi.solvers import solver_named
from certlip.lmi.solvers.scs import SETTINGS

PROBLEM = Problem.of(mondeq_block(0))


@every_solver
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"tols": 1e-3}, "no option 'tols': did you mean 'tol'"),
        ({"max_second": 1.0}, "did you mean 'max_seconds'"),
        ({"verbose": True}, "no option 'verbose'"),
        ({"tol": "small"}, "tol = 'small': expected float"),
        ({"tol": True}, "tol = True: expected float"),
        ({"tol": 0.0}, r"tol = 0.0: expected one in \(0, 1\)"),
        ({"tol": 1}, "tol = 1.0: expected one in"),
        ({"tol": float("nan")}, "tol = nan"),
        ({"max_seconds": 0}, "max_seconds = 0.0: expected > 0"),
        ({"max_seconds": -1.0}, "max_seconds = -1.0"),
        ({"max_seconds": float("nan")}, "max_seconds = nan"),
    ],
)
def test_common_options_are_checked(name, option, message):
    solver(name)
    with pytest.raises(InputError, match=message):
        solver_named(name, **option)


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("clarabel", {"max_iters": 5}, "did you mean 'max_iter'"),
        ("clarabel", {"max_iter": 5.5}, "max_iter = 5.5: expected int"),
        ("clarabel", {"max_iter": True}, "max_iter = True: expected int"),
        ("clarabel", {"max_iter": -5}, "max_iter = -5: out of range"),
        ("clarabel", {"direct_solve_method": "none"}, "direct_solve_method = 'none': .*[Bb]ad"),
        ("scs", {"max_iter": 5}, "did you mean 'max_iters'"),
        ("scs", {"alpha": 3.0}, "alpha = 3.0: alpha must be"),
        ("scs", {"linear_solver": "none"}, "linear_solver = 'none'"),
        ("scs", {"write_data_filename": "x"}, "no option 'write_data_filename'"),
    ],
)
def test_a_solvers_own_options_are_checked(name, option, message):
    solver(name)
    with pytest.raises(InputError, match=message):
        solver_named(name, **option)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", ["presolve_enabled", "acceleration_lookbak", "MSK_DPAR_X"])
def test_every_unknown_option_is_an_error(name, wrong):
    solver(name)
    with pytest.raises(InputError, match=f"{name} has no option '{wrong}'"):
        solver_named(name, **{wrong: 1})


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("clarabel", {"max_iter": 2}),
        ("scs", {"max_iters": 5}),
        ("mosek", {"MSK_IPAR_INTPNT_MAX_ITERATIONS": 2}),
    ],
)
def test_a_limit_of_iterations_reaches_the_solver(name, option):
    candidate = only(solver(name, **option).minimise(PROBLEM))
    assert candidate.iterations == next(iter(option.values()))
    assert candidate.status in (STOPPED, FAILED)  # what is left of two steps may not be positive
    assert candidate.message


@every_solver
def test_a_solver_works_harder_for_a_smaller_tol(name):
    loose, tight = (only(solver(name, tol=tol).minimise(PROBLEM)) for tol in (1e-2, 1e-8))
    assert loose.iterations < tight.iterations
    assert tight.status == OPTIMAL


@every_solver
def test_a_limit_of_time_stops_all_output_maps(name):
    batch = Problem(PROBLEM.W, PROBLEM.U, PROBLEM.G.expand(3, -1, -1, -1))
    candidates = solver(name, max_seconds=1e-9).minimise(batch)
    assert [candidate.status for candidate in candidates] == [STOPPED] * 3
    assert all(candidate.lam is None for candidate in candidates)
    assert "no time left" in candidates[0].message


@every_solver
def test_a_solver_is_told_the_time_that_is_left(name, monkeypatch):
    made, told = solver(name, max_seconds=50.0), []
    settings = made.settings
    monkeypatch.setattr(made, "settings", lambda left: told.append(left) or settings(left))
    first = Problem(PROBLEM.W, PROBLEM.U, PROBLEM.G.expand(2, -1, -1, -1))
    assert [candidate.status for candidate in made.minimise(first)] == [OPTIMAL] * 2
    limits = [left for left in told if left < float("inf")]
    assert 50.0 > limits[0] > limits[1] > 0.0


def test_a_limit_of_time_is_an_option_of_the_solver():
    for name, option in (("clarabel", "time_limit"), ("scs", "time_limit_secs")):
        assert solver(name).settings(2.5)[option] == 2.5
        assert solver(name, **{option: 1.0}).settings(2.5)[option] == 1.0


def test_settings_of_scs_are_all_its_own():
    """Of the table every one is taken by the release that is installed."""
    values = {bool: True, float: 0.5, int: 5, str: "qdldl"}
    solver("scs", **{name: values[kind] for name, kind in SETTINGS.items()})
