"""One row of `check-lmi` per block, condition and way to multipliers, whatever comes of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from certlip.blocks import Block, ConvEquilibrium, Equilibrium, PaddedEquilibrium
from certlip.errors import CertlipError, InputError, RejectedError
from certlip.linalg.rigorous import UpperBound
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.inequality import monotonicity
from certlip.lmi.proof import EquilibriumProof
from certlip.lmi.rules import apply_rule
from certlip.lmi.search import Search


def explicit_row(k: int, block: Block) -> tuple[list[dict[str, Any]], UpperBound | None]:
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


def equilibrium_rows(
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


def padded_rows(
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
