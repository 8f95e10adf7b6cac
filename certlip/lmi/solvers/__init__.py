"""Solvers of multipliers by name. To add one: its file, a line here, a test row."""

from __future__ import annotations

import difflib
from typing import Any

from certlip.errors import InputError, UnsupportedError
from certlip.lmi.solvers.base import Capabilities as Capabilities
from certlip.lmi.solvers.base import MultiplierSolver
from certlip.lmi.solvers.clarabel import Clarabel
from certlip.lmi.solvers.mosek import Mosek
from certlip.lmi.solvers.scs import Scs
from certlip.lmi.solvers.structured import Structured

SOLVERS: dict[str, type[MultiplierSolver]] = {
    "structured": Structured,
    "clarabel": Clarabel,
    "scs": Scs,
    "mosek": Mosek,
}


def solver_named(name: str, **options: Any) -> MultiplierSolver:
    """The solver of this name.

    Raises:
        InputError: no such solver or option.
        UnsupportedError: it cannot be used on this machine.
    """
    if name not in SOLVERS:
        near = difflib.get_close_matches(name, SOLVERS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(SOLVERS)}"
        raise InputError(f"solver {name!r}: no such solver; {hint}")
    missing = SOLVERS[name].missing()
    if missing is not None:
        raise UnsupportedError(missing)
    return SOLVERS[name](**options)
