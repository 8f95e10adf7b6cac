"""`certlip certify`: certified accuracy and a certified radius for every sample."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from certlip.errors import InputError, UnsoundError, UnsupportedError

from .annotating import announce_in_actions
from .falsifying import USUAL, Attacks, parse_attacks
from .options import (
    EPS,
    EPS_LINF,
    DataDir,
    DatasetName,
    Gates,
    Limit,
    ModelPath,
    Split,
    check_writable,
    read_data,
    read_model,
)
from .ranks import together
from .searching import one_search
from .session import Session, command


def certify(
    session: Session,
    model: ModelPath,
    dataset: DatasetName,
    data_dir: DataDir = None,
    split: Split = "test",
    limit: Limit = None,
    norm: Annotated[str, typer.Option(help="l2, linf, or both: l2,linf.")] = "l2",
    eps: Annotated[
        str | None,
        typer.Option(help=f"Radii in raw input units; by default {EPS} (l2), {EPS_LINF} (linf)."),
    ] = None,
    boxes: Annotated[
        str, typer.Option(help="Of linf: interval, or dual: tighter and slower.")
    ] = "interval",
    semantics: Annotated[
        str,
        typer.Option(
            help="real, or float32: the deployed evaluation as well; float32:K or float32:K:ALPHA "
            "if it runs dense equilibria for K forward-backward steps (of length ALPHA) from 0."
        ),
    ] = "real",
    report: Annotated[Path | None, typer.Option(help="Folder for JSON and HTML.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the report's folder.")
    ] = False,
    certificate: Annotated[Path | None, typer.Option(help="FILE.certlip to write.")] = None,
    gates: Gates = None,
    fail_under: Annotated[
        str | None, typer.Option(help='Short for gates on certified accuracy: "36/255=0.55".')
    ] = None,
    falsify: Annotated[int, typer.Option(help="Certified points to attack; 0: none.")] = 16,
    attacks: Attacks = USUAL,
    steps: Annotated[int, typer.Option(help="Steps of every attack.")] = 20,
    restarts: Annotated[int, typer.Option(help="Restarts of every attack.")] = 2,
    method: Annotated[
        str, typer.Option(help="How multipliers are found: auto, analytic, structured, cvxpy.")
    ] = "auto",
    solver: Annotated[
        str | None, typer.Option(help="Of method cvxpy: clarabel, scs, mosek.")
    ] = None,
) -> int:
    """Certify a model on a dataset: radii that no perturbation can break, proven."""
    from certlip.certification import parse_eps, parse_norms
    from certlip.certification.float32 import require_bounded
    from certlip.certification.interval.radii import BOXES
    from certlip.certification.norms import NORMS
    from certlip.certification.semantics import parse_semantics
    from certlip.report.html import require_packages
    from certlip.report.terminal import blocks_table, certify_table

    from .certifying import certify_run
    from .gate_words import parse_fail_under, parse_gates
    from .run_folder import check_folder

    norms = parse_norms(norm)
    if boxes not in BOXES:
        raise InputError(f"--boxes {boxes}: expected {' or '.join(BOXES)}")
    if boxes != "interval" and "linf" not in norms:
        raise InputError(f"--boxes {boxes}: expected --norm linf or l2,linf")
    meant = parse_semantics(semantics)
    if certificate is not None and semantics != "real":
        raise UnsupportedError(
            f"--certificate with --semantics {semantics}: the format covers real only"
        )
    if certificate is not None and "l2" not in norms:
        raise UnsupportedError(f"--certificate with --norm {norm}: the format covers l2 only")
    if semantics != "real" and "linf" in norms:
        raise UnsupportedError(
            f"--norm {norm} with --semantics {semantics}: interval bounds cover real only"
        )
    for option, value, low in (("falsify", falsify, 0), ("steps", steps, 1)):
        if value < low:
            raise InputError(f"--{option} {value}: expected at least {low}")
    if restarts < 1:
        raise InputError(f"--restarts {restarts}: expected at least 1")
    check_writable("--report", report and report / "report.html")
    check_writable("--certificate", certificate, model)
    if report is not None:
        require_packages()
        check_folder(report, resume)
    elif resume:
        raise InputError("--resume: expected --report DIR, the folder of the run to go on with")
    values = {
        name: parse_eps(own if eps is None else eps)
        for name, own in zip(NORMS, (EPS, EPS_LINF), strict=True)
    }
    config = session.config if "gates" in session.from_file else None
    required = [*parse_gates(gates, config), *parse_fail_under(fail_under)]
    tried = parse_attacks(attacks)
    session.prepare_torch()
    search = one_search(session, method, solver)
    network = read_model(model)
    if meant.name == "float32":
        require_bounded(network, meant.steps)
    data = read_data(dataset, data_dir, split, limit)
    run = certify_run(
        session,
        network,
        str(model),
        data,
        values[norms[0]],
        norms=norms,
        eps_linf=values["linf"] if "linf" in norms else (),
        boxes=boxes,
        gates=required,
        search=search,
        semantics=semantics,
        limit=limit,
        attacked=falsify,
        attacks=tried,
        steps=steps,
        restarts=restarts,
        report=report,
        certificate=certificate,
        resume=resume,
    )
    session.say(blocks_table(run.document["model"]["blocks"]))
    session.say(certify_table(run.document))
    announce_in_actions(run.document)
    if report is not None:
        session.say(f"wrote {report / 'report.html'}")
    if certificate is not None:
        unsound = run.code == UnsoundError.exit_code
        session.say(f"{'not written, a radius was broken:' if unsound else 'wrote'} {certificate}")
    session.emit(run.document)
    return run.code


def register(app: typer.Typer) -> None:
    command(app, "certify")(together(certify))
