"""`certlip report`: stored results in other forms, nothing computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from certlip.errors import InputError, UnsoundError

from . import run_folder
from .annotating import announce
from .reading import document_path, read_document, read_rows
from .session import Session, command

WITH_ROWS = ("html", "jsonl")
"""Formats that show samples."""


def report(
    session: Session,
    results: Annotated[
        Path, typer.Argument(help="Folder of certify --report, or its report.json.")
    ],
    formats: Annotated[
        str, typer.Option("--format", help="html, md, card, junit, sarif, github, json, jsonl.")
    ] = "html",
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.FORMAT; that of the results by default.")
    ] = None,
) -> int:
    """Write stored results in other forms; the exit code is that of the run, whatever the form."""
    from certlip.report import get_format, write
    from certlip.report.pictures import read_pictures

    names = list(dict.fromkeys(name.strip() for name in formats.split(",")))
    forms = [get_format(name) for name in names]
    path = document_path(results)
    document = read_document(path)
    code = document["exit_code"]
    pictures = path.parent / run_folder.PICTURES
    rows: list[dict[str, Any]] = []
    if not set(names).isdisjoint(WITH_ROWS):
        rows = list(read_rows(path.parent / run_folder.RESULTS))
    try:
        for form in forms:
            if form.name == "github":
                announce(document)
                continue
            target = (out or path.parent) / f"report{form.suffix}"
            shown = {"pictures": read_pictures(pictures)} if form.name == "html" else {}
            write(form.name, target, document | shown, rows)
            session.say(f"wrote {target}")
    except InputError as error:
        if code == UnsoundError.exit_code:  # a broken certificate wins over all
            raise UnsoundError(str(error)) from None
        raise
    session.emit(document)
    return code


def register(app: typer.Typer) -> None:
    command(app, "report")(report)
