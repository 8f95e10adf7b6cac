"""SARIF 2.1.0: one result for every case that is not met.

A gate of a settings file is shown at its line there. A gate of the command line has none, so its result
points at the model, relative to the folder of the run; GitHub refuses results without a file. Both name
the gate as a logical location.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from certlip.report.base import Document, ReportFormat, Run, Sample, field
from certlip.report.cases import Case, Outcome, cases
from certlip.report.json_format import dumps
from certlip.report.plain import line, relative_uri

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
RULES = {
    Outcome.NOT_MET: ("CERTLIP001", "GateNotMet", "A gate of the certification is not met."),
    Outcome.UNSOUND: ("CERTLIP005", "Unsound", "A counterexample to a certified sample exists."),
    Outcome.UNDECIDED: ("CERTLIP007", "Undecided", "Neither proven nor refuted, or not finished."),
    Outcome.ERROR: ("CERTLIP008", "RunFailed", "The certification ended with an error."),
}
"""Identifier, name and description of a rule; an identifier keeps its meaning for ever."""
LEVELS = {Outcome.UNDECIDED: "warning"}
"""Of a result; all others are errors."""


class SarifFormat(ReportFormat):
    """A run that holds has no results; one that failed or was interrupted always has one."""

    name = "sarif"
    suffix = ".sarif"

    def render(
        self, document: Document, samples: Sequence[Sample], compare: Sequence[Run] = ()
    ) -> str:
        del samples, compare
        found = cases(document)
        code = field(document, "exit_code")
        finished = field(document, "status") == "done" and code not in (2, 4, 130)
        driver = {
            "name": "certlip",
            "version": line(field(document, "certlip")),
            "rules": [_rule(outcome) for outcome in RULES],
        }
        run = {
            "tool": {"driver": driver},
            "columnKind": "unicodeCodePoints",
            "invocations": [{"executionSuccessful": finished, "exitCode": code}],
            "results": [
                _result(case, str(field(document, "model.path")))
                for case in found
                if case.outcome is not Outcome.MET
            ],
        }
        return dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(outcome: Outcome) -> dict[str, Any]:
    identifier, name, text = RULES[outcome]
    return {
        "id": identifier,
        "name": name,
        "shortDescription": {"text": text},
        "defaultConfiguration": {"level": LEVELS.get(outcome, "error")},
    }


def _result(case: Case, model: str) -> dict[str, Any]:
    identifier = RULES[case.outcome][0]
    file, number = case.place or (model, None)
    uri = relative_uri(file)
    where: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if number is not None:
        where["region"] = {"startLine": number}
    same = "\n".join((identifier, uri, case.name))  # the same alert in the next run
    return {
        "ruleId": identifier,
        "ruleIndex": list(RULES).index(case.outcome),
        "level": LEVELS.get(case.outcome, "error"),
        # brackets would make links, braces placeholders
        "message": {"text": _literal(f"{case.name}: {case.message}")},
        "locations": [
            {
                "physicalLocation": where,
                "logicalLocations": [{"fullyQualifiedName": case.name}],
            }
        ],
        "partialFingerprints": {"certlipCase/v1": hashlib.sha256(same.encode("utf-8")).hexdigest()},
    }


def _literal(text: str) -> str:
    """A message string in which nothing is a link (SARIF 3.11.6) or a placeholder (3.11.5)."""
    for character in "\\[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("{", "{{").replace("}", "}}")
