"""What is said where a solver through cvxpy cannot be used, and that none is imported before."""

import sys
import types

import pytest
from cvxpy_nets import (
    NAMES,
    only,
)
from lmi_nets import mondeq_block

from certlip.errors import InputError, UnsupportedError
from certlip.lmi.candidate import FAILED
from certlip.lmi.problem import Problem
from certlip.lmi.solvers import SOLVERS, solver_named
from certlip.lmi.solvers.mosek import Mosek

PROBLEM = Problem.of(mondeq_block(0))


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
