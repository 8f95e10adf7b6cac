"""`certlip data list`: the datasets that certlip reads, and what of them is here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from certlip.errors import InputError

from .options import DataDir
from .session import Session, command


def data(
    session: Session,
    what: Annotated[str, typer.Argument(metavar="list", help="What to do: list.")],
    data_dir: DataDir = None,
) -> int:
    """List the datasets: what --dataset takes, their splits, and what of them is found."""
    if what != "list":
        raise InputError(f"certlip data {what!r}: expected list")
    from certlip.data import READERS

    entries = [entry(name, data_dir) for name in READERS]
    table = Table("dataset", "splits", "found", box=None, pad_edge=False)
    for each in entries:
        splits = ", ".join(each["splits"]) or "those it has"
        table.add_row(*(Text(cell) for cell in (each["name"], splits, in_words(each))))
    session.say(table)
    session.emit({"schema": "certlip/data/1", "datasets": entries, "status": "done"})
    return 0


def entry(key: str, data_dir: Path | None) -> dict[str, Any]:
    """What is known of a dataset of `READERS`; `test` has null and a reason where nothing is read."""
    from certlip.data import READERS, load

    kind, folder = READERS[key], data_dir or os.environ.get("CERTLIP_DATA_DIR")
    found: dict[str, Any] = {"name": key, "splits": list(kind.splits), "test": None}
    if kind.argument:
        name = f"{key}:{kind.argument}"
        return found | {"name": name, "test_reason": f"give the path as {name}"}
    try:
        part = load(key, split="test", data_dir=folder)
    except InputError as error:
        return found | {"test_reason": str(error)}
    test = {"n": len(part), "shape": list(part.shape), "classes": part.classes}
    return found | {"test": test, "test_reason": None}


def in_words(found: dict[str, Any]) -> str:
    """What of a dataset is found."""
    test = found["test"]
    return found["test_reason"] if test is None else f"{test['n']:,} test samples"


def register(app: typer.Typer) -> None:
    command(app, "data")(data)
