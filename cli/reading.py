"""Stored runs: the document of a finished one, and the rows beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from certlip.errors import InputError

from . import run_folder


def document_path(results: Path) -> Path:
    """The document of a folder of `certify --report`, or the file itself."""
    return results / run_folder.DONE if results.is_dir() else results


def read_document(path: Path) -> dict[str, Any]:
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


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The samples that lie beside the document, one after the other; none if there are none.

    Raises:
        InputError: a line that is not a row.
    """
    count = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if not isinstance(row, dict):
                    raise ValueError
                yield row
                count += 1
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        line = count + 1
        raise InputError(f"{path}: line {line} is no sample; expected one per line") from None


def _refuse(constant: str) -> None:
    raise ValueError(constant)
