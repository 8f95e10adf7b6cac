"""`certlip check-lmi`: conditions (3), (4), (10) of every block, proven on the stored numbers."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import ModelPath, read_model
from .searching import searches_of
from .session import Session, command


def check_lmi(
    session: Session,
    model: ModelPath,
    condition: Annotated[str, typer.Option(help="Out of 3, 4, 10.")] = "3,10",
    lipschitz: Annotated[float | None, typer.Option(help="Prove exactly this L.")] = None,
    method: Annotated[
        str, typer.Option(help="How multipliers are found: auto, analytic, structured, cvxpy.")
    ] = "auto",
    solver: Annotated[
        str | None, typer.Option(help="Of method cvxpy: clarabel, scs, mosek.")
    ] = None,
    solver_option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for the solver, by its own name.")
    ] = None,
) -> int:
    """Check the Lipschitz conditions of each block and prove the result rigorously."""
    from certlip.api.bounds import check_document
    from certlip.api.models import model_entry
    from certlip.lmi.check import check, exit_code
    from certlip.report.terminal import proof_table

    session.prepare_torch()
    searches = searches_of(session, method, solver, solver_option)
    network = read_model(model)
    wanted = [part.strip() for part in condition.split(",")]
    with session.console.status("proving"):
        rows, bound = check(network, wanted, lip=lipschitz, searches=searches)
    code = exit_code(rows)
    session.say(proof_table(rows))
    for row in rows:
        if "reason" in row:
            session.say(f"{row['name']}, condition {row['condition']}: {row['reason']}")
    if bound is not None:
        session.say(f"network: L ≤ {bound} from raw inputs to logits, proven")
    settings = {
        "seed": session.seed,
        "device": session.device,
        "dtype": "float64",
        "conditions": wanted,
        "methods": [search.method for search in searches],
    }
    session.emit(check_document(model_entry(model, network), settings, rows, bound))
    return code


def register(app: typer.Typer) -> None:
    command(app, "check-lmi")(check_lmi)
