"""Tables for the terminal, as rich renderables. Nothing is printed here.

Every cell is `Text`, so that a name with brackets is shown and not read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from certlip.report.base import Document, Sample, field
from certlip.report.headline import headline, title
from certlip.report.numbers import NONE, lower, measured, upper

TITLE = 72
"""Columns that a title may need on one line: a table is as wide, where the terminal is."""


def blocks_table(rows: Iterable[Sample]) -> Table:
    """Return the blocks of a model: rows of `document["model"]["blocks"]`.

    Raises:
        InputError: a row lacks a field.
    """
    table = _table("Blocks", ("block", "kind", "shape", "rule"), ("L ≤",))
    for row in rows:
        cells = [field(row, key) for key in ("name", "kind", "shape", "rule")]
        _add(table, [*cells, upper(field(row, "lipschitz_upper"))])
    return table


def certify_table(document: Document) -> Table:
    """Return the headline numbers of a `certlip/certify/1` document.

    Raises:
        InputError: not such a document, or a field is missing.
    """
    sections = headline(document)
    table = _table(title(document), ("result",), ("value",))
    for k, section in enumerate(sections):
        if k:
            table.add_section()
        for name, value, style in section:
            _add(table, [name, value], style=style)
    for gate in field(document, "gates"):
        met = field(gate, "passed") is True
        verdict = f"{'met' if met else 'not met'} (actual {field(gate, 'actual')})"
        _add(table, [f"gate {field(gate, 'expr')}", verdict], style="green" if met else "red")
    if field(document, "status") != "done":
        _add(table, ["status", "interrupted: only the finished samples count"], style="yellow")
    return table


def ladder_table(document: Document) -> Table:
    """Return the rungs of a `certlip/lipschitz/1` document and the bounds that each proved.

    Raises:
        InputError: a field is missing.
    """
    title = f"{field(document, 'model.path')}: proven Lipschitz bounds, raw inputs to logits"
    table = _table(title, ("rung",), ("L ≤", "of the norms", "s"))
    norms = field(document, "spectral_product")
    for rung in field(document, "rungs"):
        bound = field(rung, "lipschitz_upper")
        share = NONE
        if bound is not None and norms is not None and float(norms) > 0.0:
            share = f"{float(bound) / float(norms):.1%}"
        seconds = f"{float(field(rung, 'seconds')):.2f}"
        _add(table, [field(rung, "name"), upper(bound), share, seconds])
    table.add_section()
    best = field(document, "lipschitz_upper")
    _add(table, ["network", upper(best), "", ""], style="bold" if best is not None else "yellow")
    pairs = document.get("pairs_upper")
    if pairs:
        bounds = [float(v) for a, row in enumerate(pairs) for b, v in enumerate(row) if a != b]
        if bounds:
            _add(table, ["f_a − f_b, largest", upper(repr(max(bounds))), "", ""])
            _add(table, ["f_a − f_b, smallest", upper(repr(min(bounds))), "", ""])
    if best is not None:
        _add(table, ["√2·L for comparison", measured(2.0**0.5 * float(best), 6), "", ""])
    return table


def proof_table(rows: Iterable[Sample]) -> Table:
    """Return the rows of `check-lmi`, one proof attempt each.

    Raises:
        InputError: a row lacks a field.
    """
    table = _table(
        "Conditions",
        ("block", "condition", "method", "outcome"),
        ("n", "L claimed", "L ≤", "slack ≥", "s"),
    )
    for row in rows:
        proven = field(row, "proven") is True
        claimed = field(row, "lipschitz_claimed")
        cells = [field(row, "name"), field(row, "condition"), field(row, "method")]
        numbers = [
            str(field(row, "n")),
            measured(claimed, 6),
            upper(field(row, "lipschitz_upper")) if proven else NONE,
            lower(field(row, "slack_lower")),
            f"{float(field(row, 'seconds') or 0.0):.2f}",
        ]
        word = row.get("outcome", "proven" if proven else "not proven")
        verdict = Text(word, style={"proven": "green", "refuted": "red"}.get(word, "yellow"))
        _add(table, [*cells, verdict, *numbers])
    return table


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(
        title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False
    )
    table.pad_edge = False
    table.padding = (0, 1, 0, 0)
    table.min_width = min(len(title), TITLE)
    for name in texts:
        table.add_column(name, overflow="fold", min_width=len(name))
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _add(table: Table, cells: Sequence[Any], style: str = "") -> None:
    table.add_row(
        *(cell if isinstance(cell, Text) else Text(str(cell)) for cell in cells), style=style
    )
