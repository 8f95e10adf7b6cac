"""Results as documents: strict JSON, JSON lines, an HTML page, Markdown, what CI reads, tables.

    write("html", "report.html", document, samples, compare=[("SLL", before, before_samples)])

A new format is one `ReportFormat`, one line of `FORMATS` and one test row.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from certlip.errors import InputError
from certlip.files import atomic
from certlip.report.base import Document, ReportFormat, Run, Sample
from certlip.report.card import CardFormat
from certlip.report.github import GithubFormat
from certlip.report.html import HtmlFormat
from certlip.report.json_format import JsonFormat, JsonLinesFormat, dumps, strict
from certlip.report.junit import JunitFormat
from certlip.report.markdown import MarkdownFormat
from certlip.report.results import ResultsFile
from certlip.report.sarif import SarifFormat
from certlip.report.schemas import load_schema

__all__ = [
    "FORMATS",
    "ReportFormat",
    "ResultsFile",
    "dumps",
    "get_format",
    "load_schema",
    "strict",
    "write",
]

FORMATS: dict[str, ReportFormat] = {
    "json": JsonFormat(),
    "jsonl": JsonLinesFormat(),
    "html": HtmlFormat(),
    "md": MarkdownFormat(),
    "junit": JunitFormat(),
    "sarif": SarifFormat(),
    "github": GithubFormat(),
    "card": CardFormat(),
}


def get_format(name: str) -> ReportFormat:
    """Return a format by name.

    Raises:
        InputError: no such format; the message has the nearest name and the list.
    """
    if name not in FORMATS:
        near = difflib.get_close_matches(name.lower(), FORMATS, n=1, cutoff=0.5)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise InputError(f"format '{name}' is unknown{hint}; expected {', '.join(FORMATS)}")
    return FORMATS[name]


def write(
    format_name: str,
    path: str | Path,
    document: Document,
    samples: Sequence[Sample],
    compare: Sequence[Run] = (),
) -> None:
    """Render, then put the file in place at once; on any error an old file stays as it was.

    Raises:
        InputError: unknown format, a document that cannot be rendered, or a file that cannot be
            written.
    """
    text = get_format(format_name).render(document, samples, compare)
    # a name with bytes that are no UTF-8: in JSON this is the escape that reads back as it was
    encoded = text.encode("utf-8", "backslashreplace")
    atomic(Path(path), lambda temporary: temporary.write_bytes(encoded))
