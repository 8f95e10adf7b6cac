"""What every epoch measured, as JSON lines and as CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from certlip.files import atomic

LINES, TABLE = "metrics.jsonl", "metrics.csv"


def write_metrics(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Writes both files whole.

    Raises:
        InputError: they cannot be written.
    """
    text = "".join(json.dumps(row) + "\n" for row in rows)
    atomic(folder / LINES, lambda path: path.write_text(text, "utf-8"))
    atomic(folder / TABLE, lambda path: path.write_text(_table(rows), "utf-8"))


def _table(rows: list[dict[str, Any]]) -> str:
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return stream.getvalue()


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Certified accuracies as a column for each ε."""
    plain = {name: value for name, value in row.items() if name != "certified"}
    return plain | {f"certified@{eps}": v for eps, v in row.get("certified", {}).items()}
