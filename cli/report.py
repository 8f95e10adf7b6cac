"""`certlip report`: stored results in other forms, nothing computed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from certlip.errors import InputError, UnsoundError

from . import run_folder
from .annotating import announce
from .session import Session, command

WITH_ROWS = ("html", "jsonl")
"""Formats that show samples."""


def report(
    session: Session,
    results: Annotated[
        Path, typer.Argument(help="Folder of certify --report, or its report.json.")
    ],
    formats: Annotated[
        str, typer.Option("--format", help="html, md, junit, sarif, github, json, jsonl.")
    ] = "html",
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.FORMAT; that of the results by default.")
    ] = None,
) -> int:
    """Write stored results in other forms; the exit code is that of the run, whatever the form."""
    from certlip.report import get_format, write

    names = list(dict.fromkeys(name.strip() for name in formats.split(",")))
    forms = [get_format(name) for name in names]
    path = results / run_folder.DONE if results.is_dir() else results
    document = _read(path)
    code = document["exit_code"]
    rows: list[dict[str, Any]] = []
    if not set(names).isdisjoint(WITH_ROWS):
        rows = _rows(path.parent / run_folder.RESULTS)
    try:
        for form in forms:
            if form.name == "github":
                announce(document)
                continue
            target = (out or path.parent) / f"report{form.suffix}"
            write(form.name, target, document, rows)
            session.say(f"wrote {target}")
    except InputError as error:
        if code == UnsoundError.exit_code:  # a broken certificate wins over all
            raise UnsoundError(str(error)) from None
        raise
    session.emit(document)
    return code


def _read(path: Path) -> dict[str, Any]:
    """The document of a finished run.

    Raises:
        InputError: no such file, not JSON, or not a document that agrees with itself.
    """
    from certlip.report.cases import cases

    if not path.exists() and (path.parent / run_folder.MANIFEST).exists():
        raise InputError(
            f"{path.parent}: holds a run that is not finished; expected report.json, which "
            "certify --resume writes"
        )
    try:
        document = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not JSON; expected what certify --report writes") from None
    try:
        cases(document)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return document


def _rows(path: Path) -> list[dict[str, Any]]:
    """The samples that lie beside the document, none if there are none.

    Raises:
        InputError: a line that is not a row.
    """
    rows: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if not isinstance(row, dict):
                    raise ValueError
                rows.append(row)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        line = len(rows) + 1
        raise InputError(f"{path}: line {line} is no sample; expected one per line") from None
    return rows


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def register(app: typer.Typer) -> None:
    command(app, "report")(report)
