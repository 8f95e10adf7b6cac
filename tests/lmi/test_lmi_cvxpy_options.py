"""Solvers through cvxpy: options, limits, words for failure, and what is said where one cannot be used."""

import sys
import types

import pytest
from cvxpy_nets import NAMES, every_solver, only, solver
from hypothesis import given
from hypothesis import strategies as st
from lmi_nets import mondeq_block

from certlip.errors import InputError, UnsupportedError
from certlip.lmi.candidate import FAILED, OPTIMAL, STATUSES, STOPPED
from certlip.lmi.problem import Problem
from certlip.lmi.solvers import SOLVERS, solver_named
from certlip.lmi.solvers.mosek import Mosek
from certlip.lmi.solvers.scs import INTERRUPTED, SETTINGS, Scs

PROBLEM = Problem.of(mondeq_block(0))


# --- options -------------------------------------------------------------------------------------


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


# --- words ---------------------------------------------------------------------------------------


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


# --- what is not here ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("package", ["cvxpy", "own"])
def test_a_missing_package_names_what_to_install(name, package, monkeypatch):
    kind = SOLVERS[name]
    if package == "own" and kind.missing() and "not installed" in kind.missing():
        monkeypatch.setitem(sys.modules, "cvxpy", types.ModuleType("cvxpy"))
    package = kind.package if package == "own" else package
    monkeypatch.setitem(sys.modules, package, None)
    extra = r"certlip\[mosek\]" if name == "mosek" else r"certlip\[sdp\]"
    with pytest.raises(
        UnsupportedError, match=f'{package} is not installed; .*"{extra}"'
    ) as caught:
        solver_named(name)
    assert caught.value.exit_code == 3


def test_a_broken_package_says_what_is_broken(monkeypatch):
    def broken(name):
        raise ImportError("libsomething.so.3: cannot open\nmore")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(UnsupportedError, match=r"cannot be imported \(libsomething.*open\)"):
        solver_named("clarabel")


def test_mosek_without_a_licence_is_unsupported():
    why = Mosek.missing()
    if why is None:
        pytest.skip("there is a licence")
    with pytest.raises(UnsupportedError, match=r"licence was found|certlip\[mosek\]") as caught:
        solver_named("mosek")
    assert caught.value.exit_code == 3


def test_mosek_that_loses_its_licence_fails_in_one_line():
    """With `missing` passed over, all options are set before MOSEK asks for its licence."""
    pytest.importorskip("mosek")
    if Mosek.missing() is None:
        pytest.skip("there is a licence")
    made = Mosek(max_seconds=5.0, MSK_IPAR_INTPNT_MAX_ITERATIONS=50)
    candidate = only(made.minimise(PROBLEM))
    assert (candidate.status, candidate.lam) == (FAILED, None)
    assert "license" in candidate.message
    with pytest.raises(InputError, match="'x' for parameter MSK_IPAR_INTPNT_MAX_ITERATIONS"):
        Mosek(MSK_IPAR_INTPNT_MAX_ITERATIONS="x")
    with pytest.raises(InputError, match="did you mean 'MSK_IPAR_INTPNT_MAX_ITERATIONS'"):
        Mosek(MSK_IPAR_INTPNT_MAX_ITERATION=5)


@pytest.mark.parametrize("licensed", [True, False])
def test_the_licence_is_asked_for(licensed, monkeypatch):
    class Error(Exception):
        pass

    class Env:
        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

        def checkoutlicense(self, feature):
            if not licensed:
                raise Error("rescode.err_license_expired(1001): \nmore")

    fake = types.ModuleType("mosek")
    fake.Env, fake.Error, fake.feature = Env, Error, types.SimpleNamespace(pton=2)
    monkeypatch.setitem(sys.modules, "mosek", fake)
    monkeypatch.setitem(sys.modules, "cvxpy", types.ModuleType("cvxpy"))
    why = Mosek.missing()
    if licensed:
        assert why is None
    else:
        assert "no MOSEK licence was found (rescode.err_license_expired(1001))" in why


def test_an_unknown_solver_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'clarabel'"):
        solver_named("claribel")


def test_importing_the_solvers_imports_none_of_them():
    import subprocess

    code = (
        "import certlip.lmi.solvers, sys;"
        "print([m for m in ('cvxpy', 'clarabel', 'scs', 'mosek') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
