"""Data flows one way: no package imports one to its right, and the checker imports nothing of certlip."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: What each room may import, besides itself and the three modules of `FREE`.
MAY_IMPORT = {
    "linalg": set(),
    "blocks": {"linalg"},
    "solvers": {"linalg", "blocks"},
    "layers": {"linalg", "blocks"},
    "equilibrium": {"linalg", "blocks", "solvers"},
    "models": {"linalg", "layers", "equilibrium", "blocks"},
    "lmi": {"linalg", "blocks"},
    "reparam": {"linalg", "blocks", "lmi", "equilibrium"},
    "data": set(),
    "certification": {"linalg", "blocks", "lmi", "solvers"},
    "certificate": {"blocks", "certification", "data"},
    "checker": set(),
    "report": set(),
    "interop": {"linalg", "models", "blocks"},
    "api": {
        *("linalg", "blocks", "lmi", "interop", "data", "certification", "certificate", "checker"),
        *("report", "solvers"),
    },
    "training": {
        *("models", "data", "certification", "lmi", "reparam", "layers", "blocks", "solvers"),
        "equilibrium",
    },
}
FREE = {"errors", "files", "_version"}


def imports(path) -> set[str]:
    """The names of all modules that a file imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(node.module or "")
    return found


def test_every_room_is_listed():
    rooms = {p.parent.name for p in (ROOT / "certlip").glob("*/__init__.py")}
    assert rooms == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_room_imports_to_its_right(room):
    for path in (ROOT / "certlip" / room).rglob("*.py"):
        used = {m.split(".")[1] for m in imports(path) if m.startswith("certlip.")}
        assert used <= MAY_IMPORT[room] | {room} | FREE, path


def test_the_checker_stands_alone():
    files = list((ROOT / "certlip" / "checker").glob("*.py"))
    known = set(sys.stdlib_module_names) | {"numpy", "certlip"}
    for path in files:
        for module in imports(path):
            assert module.split(".")[0] in known, (path, module)
            assert not module.startswith("certlip") or module.startswith("certlip.checker"), path
    assert sum(len(path.read_text("utf-8").splitlines()) for path in files) < 800


@pytest.mark.parametrize("statement", ["import certlip", "import certlip_cli.main"])
def test_importing_is_light(statement):
    heavy = "torch numpy scipy sklearn matplotlib cvxpy jinja2"
    code = f"{statement}; import sys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_checker_needs_no_torch():
    code = "import certlip.checker, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_public_names():
    import certlip

    namespace: dict = {}
    exec("from certlip import *", namespace)
    for name in certlip.__all__:
        assert name in namespace
    assert set(certlip._HOME) | {"__version__"} == set(certlip.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = certlip.nothing
