"""`check-lmi`: every block's conditions as rows of a report, undecided and refuted ones
included."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from certlip.blocks import Block, ConvEquilibrium, Equilibrium, Network
from certlip.errors import CertlipError, InconclusiveError, InputError, RejectedError
from certlip.linalg.rigorous import UpperBound, require_ieee
from certlip.linalg.rigorous.bounds import product
from certlip.lmi.analytic import multipliers
from certlip.lmi.everywhere import Everywhere
from certlip.lmi.proof import EquilibriumProof
from certlip.lmi.rules import apply_rule
from certlip.lmi.rules.equilibrium import monotonicity

CONDITIONS = ("3", "4", "10")


def check(
    network: Network, conditions: Sequence[str] = ("3", "10"), *, lip: float | None = None
) -> tuple[list[dict[str, Any]], UpperBound | None]:
    """Rows of the proven, refuted and undecided conditions, and the bound of the whole network.

    The verified Cholesky proves strict inequalities, so (4) is proven whenever (10) is; (3) is proven
    on its own. The network's bound is None unless every block's L is proven and well-posed.

    Args:
        conditions: Out of "3", "4", "10", for the equilibrium blocks.
        lip: Exactly this L for the equilibrium blocks.

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
            found, bound = _equilibrium_rows(k, block, conditions, lip)
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
    """1 if a condition is refuted, 3 if one is undecided, else 0."""
    outcomes = {row["outcome"] for row in rows}
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
    k: int, block: Equilibrium | ConvEquilibrium, conditions: Sequence[str], lip: float | None
) -> tuple[list[dict[str, Any]], UpperBound | None]:
    rows = []
    if "3" in conditions:
        rows.append(_well_posed_row(k, block))
    wanted = [condition for condition in conditions if condition != "3"]
    if not wanted:
        return rows, None
    row = _row(k, block.n, wanted[0], lip)
    start = time.perf_counter()
    try:
        proof = apply_rule(block) if lip is None else apply_rule(block, lip=lip)
    except CertlipError as error:
        row |= _failed(error) | {"seconds": time.perf_counter() - start}
        return rows + [row | {"condition": condition} for condition in wanted], None
    assert isinstance(proof, EquilibriumProof)
    row |= {
        "method": proof.method,
        "family": proof.family,
        "lipschitz_claimed": proof.claimed,
        "lipschitz_upper": str(proof.lip),
        "slack_lower": None if proof.slack is None else str(proof.slack),
        "mu_lower": str(proof.mu),
        "seconds": proof.seconds,
        "proven": True,
        "outcome": "proven",
    }
    return rows + [row | {"condition": condition} for condition in wanted], proof.lip


def _well_posed_row(k: int, block: Equilibrium | ConvEquilibrium) -> dict[str, Any]:
    row = _row(k, block.n, "3", None)
    start = time.perf_counter()
    try:
        guess = multipliers(block)
        mu = monotonicity(Everywhere(block), guess)
    except CertlipError as error:
        return row | _failed(error) | {"seconds": time.perf_counter() - start}
    return row | {
        "family": guess.family,
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
