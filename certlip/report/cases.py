"""What a certification was asked, as cases with an outcome: the run itself, then one per gate.

JUnit, SARIF, Markdown and the annotations of GitHub all show these, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from certlip.errors import InputError
from certlip.report.base import Document, check_document, field
from certlip.report.numbers import NONE, finite
from certlip.report.plain import line


class Outcome(Enum):
    """How a case ended. Only `MET` is a success."""

    MET = "met"
    NOT_MET = "not met"
    UNDECIDED = "undecided"
    UNSOUND = "unsound"
    ERROR = "error"


@dataclass(frozen=True)
class Case:
    """One question and its answer.

    Args:
        name: `certification`, or the gate as it was written.
        outcome: The answer.
        message: Why, with the numbers, in one line.
        place: File and line where a gate was written, if it was in a file.
    """

    name: str
    outcome: Outcome
    message: str
    place: tuple[str, int] | None = None


RUN = "certification"
"""The name of the case that is about the run."""
OF_CODE = {
    0: Outcome.MET,
    1: Outcome.NOT_MET,
    3: Outcome.UNDECIDED,
    5: Outcome.UNSOUND,
    130: Outcome.UNDECIDED,
    2: Outcome.ERROR,
    4: Outcome.ERROR,
}
"""What an exit code says."""


def cases(document: Document) -> list[Case]:
    """Return the cases of a `certlip/certify/1` document: the run, then its gates in their order.

    Law: all are met exactly if the run holds. Nothing is met in a run that is unsound, was
    interrupted, ended with an error or had no samples.

    Raises:
        InputError: not such a document, or its exit code contradicts it.
    """
    check_document(document)
    code = field(document, "exit_code")
    if code not in OF_CODE:
        raise InputError(f"results: exit_code is {code}; expected {', '.join(map(str, OF_CODE))}")
    gates = [_gate(gate, code) for gate in field(document, "gates")]
    run = _run(document, gates)
    if run.outcome is not Outcome.MET:
        gates = [
            case
            if case.outcome is not Outcome.MET and _whole(document)
            else replace(case, outcome=Outcome.UNDECIDED, message=f"not judged: {run.message}")
            for case in gates
        ]
    found = [run, *gates]
    wrong = [case for case in found if case.outcome is not Outcome.MET]
    if (wrong and code == 0) or (run.outcome is Outcome.UNSOUND and code != 5):
        raise InputError(
            f"results: exit_code is {code} and {wrong[0].name} is {wrong[0].outcome.value}; "
            "expected results that agree"
        )
    return found


def holds(found: Sequence[Case]) -> bool:
    """Whether every case is met."""
    return all(case.outcome is Outcome.MET for case in found)


def _run(document: Document, gates: Sequence[Case]) -> Case:
    """The case of the run; what the gates explain is not said twice."""
    code, falsifier = field(document, "exit_code"), field(document, "falsifier")
    attacked, broken = (0, 0) if falsifier is None else _counts(falsifier)
    if broken or code == 5 or document["counts"].get("falsified"):
        why = "a counterexample to a certified sample was confirmed; trust no certified number"
        return Case(RUN, Outcome.UNSOUND, f"UNSOUND: {why}")
    if field(document, "status") != "done" or code == 130:
        return Case(RUN, Outcome.UNDECIDED, "interrupted: only the finished samples count")
    n = field(document, "data.n")
    if n == 0:
        return Case(RUN, Outcome.UNDECIDED, "there were no samples, so nothing is certified")
    outcome = OF_CODE[code]
    if outcome is Outcome.ERROR or (code and holds(gates)):
        return Case(RUN, outcome, f"ended with exit code {code}")
    attack = "no falsifier was run" if falsifier is None else f"{attacked:,} attacked, none broken"
    certified = field(document, "counts.certified")
    return Case(RUN, Outcome.MET, f"{certified:,} of {n:,} samples have a radius; {attack}")


def _whole(document: Document) -> bool:
    """Whether the verdicts of the gates are about all samples of a finished run."""
    return field(document, "status") == "done" and field(document, "data.n") > 0


def _counts(falsifier: dict[str, Any]) -> tuple[int, int]:
    attacked, broken = field(falsifier, "attacked"), field(falsifier, "broken")
    for value in (attacked, broken):
        if not isinstance(value, int) or value < 0:
            raise InputError(f"results: falsifier has {value!r}; expected 0 or more")
    return attacked, broken


def _gate(gate: dict[str, Any], code: int) -> Case:
    expr, passed, actual = field(gate, "expr"), field(gate, "passed"), field(gate, "actual")
    if not isinstance(expr, str) or not isinstance(passed, bool):
        raise InputError(
            f"results: gate {gate!r}; expected expr, a text, and passed, true or false"
        )
    if not isinstance(actual, str):
        actual = NONE if finite(actual) is None else repr(actual)
    shown = line(f"actual {actual}")
    undecided = gate.get("undecided", code == 3)  # older documents say it with their code alone
    place = _place(gate)
    if passed:
        return Case(line(expr), Outcome.MET, shown, place)
    if undecided is True:
        shown = f"{shown}; undecided samples could meet it"
        return Case(line(expr), Outcome.UNDECIDED, shown, place)
    return Case(line(expr), Outcome.NOT_MET, shown, place)


def _place(gate: dict[str, Any]) -> tuple[str, int] | None:
    """Where the gate was written; gates of the command line have no place."""
    file, number = gate.get("file"), gate.get("line")
    if file is None and number is None:
        return None
    if not isinstance(file, str) or type(number) is not int or number < 1:
        raise InputError(f"results: gate {gate!r}; expected file, a text, and line, 1 or more")
    return file, number
