"""`certlip attack`: how much accuracy attacks leave, and whether they break what is certified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from certlip.errors import InputError

from .falsifying import Attacks, parse_attacks
from .options import (
    EPS,
    EPS_LINF,
    DataDir,
    DatasetName,
    Limit,
    ModelPath,
    Split,
    check_writable,
    read_data,
    read_model,
)
from .session import Session, command

if TYPE_CHECKING:
    from rich.table import Table


def attack(
    session: Session,
    model: ModelPath,
    dataset: DatasetName,
    data_dir: DataDir = None,
    split: Split = "test",
    limit: Limit = None,
    norm: Annotated[str, typer.Option(help="l2 or linf.")] = "l2",
    eps: Annotated[
        str | None,
        typer.Option(help=f"Radii in raw input units; by default {EPS} (l2), {EPS_LINF} (linf)."),
    ] = None,
    semantics: Annotated[
        str, typer.Option(help="real, or float32: the deployed evaluation as well.")
    ] = "real",
    attacks: Attacks = "pgd,ascent",
    steps: Annotated[int, typer.Option(help="Steps of every attack.")] = 20,
    restarts: Annotated[int, typer.Option(help="Restarts of every attack.")] = 2,
    check: Annotated[
        bool, typer.Option(help="Certify what was lost: a radius that an attack broke is a bug.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="FILE.npz for the counterexamples, one per lost sample.")
    ] = None,
) -> int:
    """Attack a model on a dataset: upper bounds of its robust accuracy, and a cross-check of radii."""
    from certlip.api.attacked import attack_network
    from certlip.certification import parse_eps, parse_norms
    from certlip.certification.attacks import save_counterexamples
    from certlip.certification.semantics import parse_semantics
    from certlip.files import atomic
    from certlip.lmi import prove

    if len(parse_norms(norm)) > 1:
        raise InputError(f"--norm {norm}: expected l2 or linf")
    asked = parse_eps(eps or (EPS if norm == "l2" else EPS_LINF))
    parse_semantics(semantics)
    for option, value in (("steps", steps), ("restarts", restarts)):
        if value < 1:
            raise InputError(f"--{option} {value}: expected at least 1")
    tried = parse_attacks(attacks)
    check_writable("--out", out, model)
    session.prepare_torch()
    network = read_model(model)
    data = read_data(dataset, data_dir, split, limit)
    with session.console.status("proving the Lipschitz bound"):
        proof = prove(network)
    with session.progress() as bar:
        task = bar.add_task("attacking", total=len(data), note="samples")
        found = attack_network(
            *(network, str(model), data, proof),
            eps=asked,
            norm=norm,
            settings={"dataset": data.name, "split": data.split, "limit": limit},
            semantics=semantics,
            attacks=tried,
            steps=steps,
            restarts=restarts,
            check=check,
            seed=session.seed,
            device=session.device,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if out is not None:
        atomic(out, lambda file: save_counterexamples(file, found.found, network))
        session.say(f"wrote {out}")
    session.say(_table(found.document))
    if check:
        checked, broken = (found.document[key] for key in ("checked", "broken"))
        session.say(f"cross-check: {checked:,} of the lost certified, {broken:,} radii broken")
    for c in found.broken:
        session.say(
            f"UNSOUND: sample {c.index} is class {c.other} in {c.semantics} arithmetic at distance "
            f"{c.distance!r}, inside its certified {norm} radius {c.radius!r}; please report this as "
            "a bug (--out keeps the point)"
        )
    session.emit(found.document)
    return found.exit_code


def _table(document: dict[str, Any]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from certlip.report.numbers import percent

    n, norm = document["data"]["n"], {"l2": "ℓ2", "linf": "ℓ∞"}[document["settings"]["norm"]]
    names = ", ".join(document["attacks"])
    title = f"{names}: {document['steps']} steps, {document['restarts']} restarts, {n:,} samples"
    table = Table("result", title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("accuracy", "lost"):
        table.add_column(name, justify="right")
    table.add_row("natural", percent(document["natural_accuracy"]), "")
    for eps, share in document["robust_accuracy_upper"].items():
        cells = f"at most, {norm} ≤ {eps}", percent(share), f"{document['found'][eps]:,}"
        table.add_row(*(Text(cell) for cell in cells))
    return table


def register(app: typer.Typer) -> None:
    command(app, "attack")(attack)
