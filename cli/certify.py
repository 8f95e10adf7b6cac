"""`certlip certify`: certified accuracy and a certified radius for every sample."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from certlip.errors import InputError, UnsoundError

from .options import (
    EPS,
    DataDir,
    DatasetName,
    EpsOption,
    Limit,
    ModelPath,
    Split,
    check_writable,
    read_data,
    read_model,
)
from .searching import one_search
from .session import Session, command


def certify(
    session: Session,
    model: ModelPath,
    dataset: DatasetName,
    data_dir: DataDir = None,
    split: Split = "test",
    limit: Limit = None,
    norm: Annotated[str, typer.Option(help="l2.")] = "l2",
    eps: EpsOption = EPS,
    semantics: Annotated[str, typer.Option(help="real.")] = "real",
    report: Annotated[Path | None, typer.Option(help="Folder for JSON and HTML.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="FILE.certlip to write.")] = None,
    fail_under: Annotated[str | None, typer.Option(help='Gates: "36/255=0.55".')] = None,
    falsify: Annotated[int, typer.Option(help="Certified points to attack; 0: none.")] = 16,
    steps: Annotated[int, typer.Option(help="Steps of the attack.")] = 20,
    restarts: Annotated[int, typer.Option(help="Restarts of the attack.")] = 2,
    method: Annotated[
        str, typer.Option(help="How multipliers are found: auto, analytic, structured, cvxpy.")
    ] = "auto",
    solver: Annotated[
        str | None, typer.Option(help="Of method cvxpy: clarabel, scs, mosek.")
    ] = None,
) -> int:
    """Certify a model on a dataset: radii that no perturbation can break, proven."""
    from certlip.certify import parse_eps
    from certlip.report.html import require_packages
    from certlip.report.terminal import blocks_table, certify_table

    from .certifying import certify_run, parse_gates

    for option, value, known in (("norm", norm, "l2"), ("semantics", semantics, "real")):
        if value != known:
            raise InputError(f"--{option} {value}: expected {known}")
    for option, value, low in (("falsify", falsify, 0), ("steps", steps, 1)):
        if value < low:
            raise InputError(f"--{option} {value}: expected at least {low}")
    if restarts < 1:
        raise InputError(f"--restarts {restarts}: expected at least 1")
    check_writable("--report", report and report / "report.html")
    check_writable("--certificate", certificate)
    if report is not None:
        require_packages()
    values, gates = parse_eps(eps), parse_gates(fail_under)
    session.prepare_torch()
    search = one_search(session, method, solver)
    network = read_model(model)
    data = read_data(dataset, data_dir, split, limit)
    run = certify_run(
        session,
        network,
        str(model),
        data,
        values,
        gates=gates,
        search=search,
        limit=limit,
        attacked=falsify,
        steps=steps,
        restarts=restarts,
        report=report,
        certificate=certificate,
    )
    session.say(blocks_table(run.document["model"]["blocks"]))
    session.say(certify_table(run.document))
    if report is not None:
        session.say(f"wrote {report / 'report.html'}")
    if certificate is not None:
        unsound = run.code == UnsoundError.exit_code
        session.say(f"{'not written, a radius was broken:' if unsound else 'wrote'} {certificate}")
    session.emit(run.document)
    return run.code


def register(app: typer.Typer) -> None:
    command(app, "certify")(certify)
