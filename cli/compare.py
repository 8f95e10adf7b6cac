"""`certlip compare`: what changed between two stored runs on the same samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from . import run_folder
from .options import Gates
from .reading import document_path, read_rows
from .session import Session, command


def compare(
    session: Session,
    old: Annotated[
        Path, typer.Argument(metavar="OLD", help="Folder of certify --report, or report.json.")
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The same of another run.")],
    gates: Gates = None,
) -> int:
    """Compare two runs: accuracies, bounds, samples gained and lost; gates are about NEW."""
    from .comparing import SCHEMA, compare_rows, differences, read_run, require_comparable
    from .gate_words import parse_gates
    from .gates import judge
    from .measured import Subject

    config = session.config if "gates" in session.from_file else None
    required = parse_gates(gates, config, earlier=old)
    before, counted_before = read_run(old)
    after, counted_after = read_run(new)
    require_comparable(before, after, str(new))
    for gate in required:
        gate.require_comparable(Subject.of(after["data"], after["settings"]))
        gate.require_counts(counted_after)
    found = differences(before, after, counted_before, counted_after)
    first, second = (
        read_rows(document_path(path).parent / run_folder.RESULTS) for path in (old, new)
    )
    samples = compare_rows(first, second, found["certified_accuracy"], after["data"]["n"])
    verdicts, code = judge(counted_after, required)
    session.say(_table(old, new, found, samples))
    for verdict in verdicts:
        word = "met" if verdict["passed"] else "undecided" if verdict["undecided"] else "not met"
        session.say(f"gate {verdict['expr']}: {word} (actual {verdict['actual']})")
    session.emit(
        {
            "schema": SCHEMA,
            "old": _entry(old, before),
            "new": _entry(new, after),
            "data": after["data"],
            **found,
            "samples": samples,
            "gates": verdicts,
            "status": "done",
            "exit_code": code,
        }
    )
    return code


def _entry(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    model = {key: document["model"][key] for key in ("path", "sha256")}
    return {"path": str(path), "certlip": document["certlip"], "model": model}


def _table(old: Path, new: Path, found: dict[str, Any], samples: dict[str, Any] | None) -> Table:
    from certlip.report.numbers import parse_eps, percent, upper

    table = Table("result", title=f"{old} → {new}", title_justify="left", box=None, pad_edge=False)
    for name in ("old", "new", "difference", "gained", "lost"):
        table.add_column(name, justify="right")

    def add(name: str, shares: dict[str, float], *counts: str) -> None:
        points = f"{100 * shares['difference']:+.2f}"
        cells = (name, percent(shares["old"]), percent(shares["new"]), points, *counts)
        table.add_row(*(Text(cell) for cell in cells))

    add("natural accuracy", found["natural_accuracy"])
    for eps, shares in sorted(
        found["certified_accuracy"].items(), key=lambda item: parse_eps(item[0])
    ):
        counts = () if samples is None else (samples["gained"][eps], samples["lost"][eps])
        add(f"certified at {eps}", shares, *(f"{count:,}" for count in counts))
    bounds = found["lipschitz_upper"]
    table.add_row("Lipschitz bound L ≤", upper(bounds["old"]), upper(bounds["new"]))
    if samples is not None:
        larger, smaller = samples["radius_larger"], samples["radius_smaller"]
        table.add_row("samples with a larger radius", "", "", "", f"{larger:,}", "")
        table.add_row("samples with a smaller radius", "", "", "", "", f"{smaller:,}")
        for move, count in samples["statuses"].items():
            table.add_row(Text(move.replace("->", "→")), "", f"{count:,}")
    return table


def register(app: typer.Typer) -> None:
    command(app, "compare")(compare)
