"""`check-lmi`: every block's conditions as rows of a report, undecided and refuted ones
included."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from certlip.blocks import Block, ConvEquilibrium, Equilibrium, Network, PaddedEquilibrium
from certlip.errors import CertlipError, InconclusiveError, InputError, RejectedError
from certlip.linalg.rigorous import UpperBound, require_ieee
from certlip.linalg.rigorous.bounds import product
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.inequality import monotonicity
from certlip.lmi.proof import EquilibriumProof
from certlip.lmi.rules import apply_rule
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
            found, bound = _equilibrium_rows(k, block, conditions, lip, searches)
        elif isinstance(block, PaddedEquilibrium):
            found, bound = _padded_rows(k, block, conditions, lip)
        else:
            found, bound = _explicit_row(k, block)
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


def _explicit_row(k: int, block: Block) -> tuple[list[dict[str, Any]], UpperBound | None]:
    row = _row(k, min(block.in_width, block.out_width), "rule", None)
    try:
        proof = apply_rule(block)
    except CertlipError as error:
        return [row | _failed(error)], None
    row |= {
        "condition": proof.condition or proof.rule,
        "method": proof.rule,
        "lipschitz_claimed": proof.claimed,
        "lipschitz_upper": str(proof.lip),
        "seconds": proof.seconds,
    }
    return [row | {"proven": True, "outcome": "proven"}], proof.lip


def _equilibrium_rows(
    k: int,
    block: Equilibrium | ConvEquilibrium,
    conditions: Sequence[str],
    lip: float | None,
    searches: Sequence[Search],
) -> tuple[list[dict[str, Any]], UpperBound | None]:
    rows = []
    if "3" in conditions:
        for search in _different(block, searches):
            row = _well_posed_row(k, block, search)
            if all((row["method"], row["outcome"]) != (r["method"], r["outcome"]) for r in rows):
                rows.append(row)  # a solver that was given the family's Γ says nothing new
    wanted = [condition for condition in conditions if condition != "3"]
    bounds = []
    for search in searches if wanted else ():
        row, bound = _lipschitz_row(k, block, wanted[0], lip, search)
        rows += [row | {"condition": condition} for condition in wanted]
        if bound is not None:
            bounds.append(bound)
    return rows, min(bounds, key=lambda bound: bound.value, default=None)


def _different(
    block: Equilibrium | ConvEquilibrium, searches: Sequence[Search]
) -> Iterable[Search]:
    """One search for each way to Γ: the family's formula, or our own solver."""
    found: dict[bool, Search] = {}
    for search in searches:
        found.setdefault(search.by_formula(block), search)
    return found.values()


def _lipschitz_row(
    k: int, block: Equilibrium | ConvEquilibrium, condition: str, lip: float | None, search: Search
) -> tuple[dict[str, Any], UpperBound | None]:
    row = _row(k, block.n, condition, lip) | {"method": search.method, "solver": search.solver}
    start = time.perf_counter()
    try:
        proof = apply_rule(block, lip=lip, search=search)
    except CertlipError as error:
        return row | _failed(error) | {"seconds": time.perf_counter() - start}, None
    assert isinstance(proof, EquilibriumProof)
    return row | _fields(proof), proof.lip


def _padded_rows(
    k: int, block: PaddedEquilibrium, conditions: Sequence[str], lip: float | None
) -> tuple[list[dict[str, Any]], UpperBound | None]:
    """One rule proves all conditions of this kind, by its formula: (3) whatever L is asked for."""
    rows: list[dict[str, Any]] = []
    bound: UpperBound | None = None
    if "3" in conditions:
        row, _ = _padded_row(k, block, block.lip)
        rows.append(row | {"condition": "3", "lipschitz_claimed": None, "lipschitz_upper": None})
    wanted = [condition for condition in conditions if condition != "3"]
    if wanted:
        row, bound = _padded_row(k, block, lip)
        rows += [row | {"condition": condition} for condition in wanted]
    return rows, bound


def _padded_row(
    k: int, block: PaddedEquilibrium, lip: float | None
) -> tuple[dict[str, Any], UpperBound | None]:
    row, start = _row(k, block.n, "10", lip), time.perf_counter()
    try:
        proof = apply_rule(block, lip=lip)
    except CertlipError as error:
        return row | _failed(error) | {"seconds": time.perf_counter() - start}, None
    assert isinstance(proof, EquilibriumProof)
    return row | _fields(proof), proof.lip


def _fields(proof: EquilibriumProof) -> dict[str, Any]:
    return {
        "method": proof.method,
        "solver": proof.solver,
        "family": proof.family,
        "lipschitz_claimed": proof.claimed,
        "lipschitz_upper": str(proof.lip),
        "slack_lower": None if proof.slack is None else str(proof.slack),
        "mu_lower": str(proof.mu),
        "seconds": proof.seconds,
        "proven": True,
        "outcome": "proven",
    }


def _well_posed_row(k: int, block: Equilibrium | ConvEquilibrium, search: Search) -> dict[str, Any]:
    row = _row(k, block.n, "3", None) | {"method": search.method}
    start = time.perf_counter()
    try:
        gam, source = search.monotone(block)
        found = "structured" if source == "structured" else "analytic"
        mu = monotonicity(Everywhere(block), gam, source, claimed=found == "analytic")
    except CertlipError as error:
        return row | _failed(error) | {"seconds": time.perf_counter() - start}
    return row | {
        "method": found,
        "solver": None if found == "analytic" else source,
        "family": source,
        "mu_lower": str(mu),
        "seconds": time.perf_counter() - start,
        "proven": True,
        "outcome": "proven",
    }


def _row(k: int, n: int, condition: str, lip: float | None) -> dict[str, Any]:
    return {
        "name": f"block{k}",
        "n": n,
        "condition": condition,
        "method": "analytic",
        "solver": None,
        "lipschitz_claimed": lip,
        "lipschitz_upper": None,
        "slack_lower": None,
        "mu_lower": None,
        "proven": False,
        "seconds": 0.0,
    }


def _failed(error: CertlipError) -> dict[str, Any]:
    if isinstance(error, InputError):
        raise error
    outcome = "refuted" if isinstance(error, RejectedError) else "unknown"
    return {"outcome": outcome, "reason": str(error)}
