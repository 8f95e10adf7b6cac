"""Markdown, for a step summary or a comment: verdict, gates, headline numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from certlip.report.base import Document, ReportFormat, Run, Sample, field
from certlip.report.cases import Outcome, cases, holds
from certlip.report.headline import headline, title
from certlip.report.plain import line

MOST = 1000
"""Rows of a table; a step summary of GitHub ends at 1 MiB."""


class MarkdownFormat(ReportFormat):
    """Tables in the dialect of GitHub; names are shown as they are, never read as Markdown."""

    name = "md"
    suffix = ".md"

    def render(
        self, document: Document, samples: Sequence[Sample], compare: Sequence[Run] = ()
    ) -> str:
        del samples, compare
        found = cases(document)
        answers = [(case.name, case.outcome.value, case.message) for case in found]
        numbers = [row[:2] for section in headline(document) for row in section]
        facts = [
            ("model sha256", field(document, "model.sha256")),
            ("data sha256", field(document, "data.sha256")),
            ("norm", field(document, "settings.norm")),
            ("semantics", field(document, "settings.semantics")),
            ("certlip", field(document, "certlip")),
            ("exit code", field(document, "exit_code")),
        ]
        parts = [
            f"## certlip: {_verdict([case.outcome for case in found], holds(found))}",
            escape(title(document)),
            _table(("case", "outcome", "why"), answers),
            _table(("result", "value"), [*numbers, *facts]),
            "ε and radii are in raw input units. Whatever is not certified counts as not certified; "
            "it does not mean not robust.",
        ]
        return "\n\n".join(parts) + "\n"


def escape(value: Any) -> str:
    """Return a value as one line of Markdown that shows it literally, in a table too."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line(value))


def _verdict(outcomes: Sequence[Outcome], held: bool) -> str:
    """The worst outcome, in words."""
    for outcome in (Outcome.UNSOUND, Outcome.ERROR, Outcome.NOT_MET, Outcome.UNDECIDED):
        if outcome in outcomes:
            return outcome.value
    return "holds" if held else "undecided"


def _table(names: Sequence[str], rows: Sequence[Iterable[Any]]) -> str:
    lines = [names, ["---"] * len(names)]
    lines += [[escape(cell) for cell in row] for row in rows[:MOST]]
    if len(rows) > MOST:
        lines.append([f"{len(rows) - MOST:,} more", *[""] * (len(names) - 1)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
