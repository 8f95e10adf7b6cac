"""Options of the commands that look for multipliers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from certlip.errors import InputError

from .session import Session

if TYPE_CHECKING:
    from certlip.lmi.search import Search


def searches_of(
    session: Session, method: str, solver: str | None, options: Sequence[str] | None = None
) -> list[Search]:
    """`--method analytic,cvxpy --solver scs --solver-option eps_abs=1e-8`.

    Raises:
        InputError: an unknown method, solver or option.
        UnsupportedError: the solver cannot be used here.
    """
    from certlip.lmi.search import METHODS, Search

    names = [name.strip() for name in method.split(",")]
    for name in names:
        if name not in METHODS:
            raise InputError(f"--method {name!r}: expected some of {', '.join(METHODS)}")
    solved = [name for name in names if name in ("structured", "cvxpy")]
    if solver is not None and "cvxpy" not in names:
        raise InputError(f"--solver {solver}: only --method cvxpy takes one")
    given = dict(_option(text) for text in options or ())
    if given and len(solved) != 1:
        raise InputError("--solver-option: expected one --method with a solver")
    return [
        Search(
            name,
            solver if name == "cvxpy" else None,
            given if name in solved else {},
            device=session.device,
        )
        for name in names
    ]


def one_search(session: Session, method: str, solver: str | None) -> Search:
    """The same, of one method.

    Raises:
        InputError: also several methods.
    """
    searches = searches_of(session, method, solver)
    if len(searches) > 1:
        raise InputError(f"--method {method!r}: expected one method")
    return searches[0]


def _option(text: str) -> tuple[str, bool | int | float | str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"--solver-option {text!r}: expected NAME=VALUE")
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value
