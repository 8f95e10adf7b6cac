"""`check-lmi`: every block's conditions as rows of a report, undecided and refuted ones
included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from certlip.blocks import ConvEquilibrium, Equilibrium, Network, PaddedEquilibrium
from certlip.errors import InconclusiveError, InputError, RejectedError
from certlip.linalg.rigorous import UpperBound, require_ieee
from certlip.linalg.rigorous.bounds import product
from certlip.lmi.check_rows import equilibrium_rows, explicit_row, padded_rows
from certlip.lmi.search import Search

CONDITIONS = ("3", "4", "10")


def check(
    network: Network,
    conditions: Sequence[str] = ("3", "10"),
    *,
    lip: float | None = None,
    searches: Sequence[Search] = (Search(),),
) -> tuple[list[dict[str, Any]], UpperBound | None]:
    """Rows of the proven, refuted and undecided conditions, and the bound of the whole network.

    The verified Cholesky proves strict inequalities, so (4) is proven whenever (10) is; (3) is proven
    on its own. The network's bound is None unless every block's L is proven and well-posed.

    Args:
        conditions: Out of "3", "4", "10", for the equilibrium blocks.
        lip: Exactly this L for the equilibrium blocks.
        searches: How multipliers are found; each gives rows of its own, and the best L counts.

    Raises:
        InputError: an unknown condition or L ≤ 0.
    """
    for condition in conditions:
        if condition not in CONDITIONS:
            raise InputError(f"--condition {condition!r}: expected some of {', '.join(CONDITIONS)}")
    if lip is not None and not 0.0 < lip < float("inf"):
        raise InputError(f"--lipschitz {lip}: expected a positive finite number")
    require_ieee()
    rows: list[dict[str, Any]] = []
    bounds: list[UpperBound | None] = []
    for k, block in enumerate(network.blocks):
        if isinstance(block, Equilibrium | ConvEquilibrium):
            found, bound = equilibrium_rows(k, block, conditions, lip, searches)
        elif isinstance(block, PaddedEquilibrium):
            found, bound = padded_rows(k, block, conditions, lip)
        else:
            found, bound = explicit_row(k, block)
        rows.extend(found)
        bounds.append(bound)
    proven = [bound for bound in bounds if bound is not None]
    if len(proven) < len(bounds):
        return rows, None
    try:
        return rows, product(proven)
    except ValueError:  # above the largest double
        return rows, None


def exit_code(rows: Sequence[dict[str, Any]]) -> int:
    """1 if a condition is refuted, 3 if one is undecided, else 0.

    A condition asks whether there are multipliers: it holds if they were found in one of several ways.
    """
    held = {(row["name"], row["condition"]) for row in rows if row["proven"]}
    outcomes = {
        row["outcome"] for row in rows if (row["name"], row["condition"]) not in held
    }  # fmt: skip
    if "refuted" in outcomes:
        return RejectedError.exit_code
    return InconclusiveError.exit_code if outcomes - {"proven"} else 0
