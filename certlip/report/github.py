"""Annotations of GitHub Actions: workflow commands, one line per case."""

from __future__ import annotations

from collections.abc import Sequence

from certlip.report.base import Document, ReportFormat, Run, Sample, field
from certlip.report.cases import Outcome, cases
from certlip.report.plain import line, relative_uri

COMMANDS = {Outcome.MET: "notice", Outcome.UNDECIDED: "warning"}
"""All other outcomes are errors."""


class GithubFormat(ReportFormat):
    """`::error title=…::…` for a gate that is not met, `::warning` for undecided, else `::notice`."""

    name = "github"
    suffix = ".github.txt"

    def render(
        self, document: Document, samples: Sequence[Sample], compare: Sequence[Run] = ()
    ) -> str:
        del samples, compare
        model = line(field(document, "model.path"))
        lines = []
        for case in cases(document):
            command = COMMANDS.get(case.outcome, "error")
            about = f"title={_property(f'certlip: {case.outcome.value}')}"
            if case.place is not None:
                file, number = case.place
                about += f",file={_property(relative_uri(file))},line={number}"
            lines.append(f"::{command} {about}::{_data(f'{model}: {case.name}: {case.message}')}")
        return "\n".join(lines) + "\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
