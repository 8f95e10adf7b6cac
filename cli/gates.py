"""Gates: what a run must reach; they decide the exit code.

certified_accuracy@36/255 >= 0.55
natural_accuracy >= 0.9
lipschitz_upper <= 1.001
max_drop 0.01 vs baseline.json
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certlip.errors import InputError

from .measured import Measured, Subject
from .reading import document_path, read_document

if TYPE_CHECKING:
    from certlip.certification import Eps

    from .config import Config

FORMS = (
    "'certified_accuracy@EPS >= SHARE', 'natural_accuracy >= SHARE', 'lipschitz_upper <= L' or "
    "'max_drop SHARE vs FILE'"
)
_NUMBER = r"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?"
Verdict = tuple[Any, bool, bool]
"""The actual value, whether the gate is met, and whether undecided samples could still meet it."""


@dataclass(frozen=True)
class Gate(ABC):
    """One requirement, as it was written, and the place in a settings file where it was."""

    text: str
    threshold: Fraction
    """The decimal that was written: the double nearest to 0.55 lies above 0.55."""
    eps: tuple[Eps, ...] = ()
    """The radii at which it needs counts."""
    file: str | None = None
    line: int | None = None
    subject: Subject | None = None
    """What the run was about that it compares with, if it does."""
    name: str = ""
    """Where that run lies."""

    def require_comparable(self, subject: Subject) -> None:
        """Refuses, before any work, a run on other data than the one to compare with."""
        if self.subject is not None:
            subject.require_same(self.subject, self.name)

    def require_counts(self, found: Measured) -> None:
        """Refuses a stored run that was not counted at any ε of the gate."""
        counted = [Fraction(e.text) in found.certified for e in self.eps]
        if counted and not any(counted):
            raise InputError(f"--gates {self.text!r}: the run has no certified accuracy there")

    @abstractmethod
    def judge(self, found: Measured) -> Verdict:
        """The verdict on a run."""


class AccuracyGate(Gate):
    """Certified accuracy at ε must be at least `threshold`."""

    def judge(self, found: Measured) -> Verdict:
        certified, needed = found.certified[Fraction(self.eps[0].text)], self.threshold * found.n
        passed = certified >= needed
        could = certified + found.undecided >= needed
        return _share(certified, found.n), passed, could and not passed


class NaturalGate(Gate):
    """The share of samples with the right class must be at least `threshold`."""

    def judge(self, found: Measured) -> Verdict:
        passed = found.correct >= self.threshold * found.n
        return _share(found.correct, found.n), passed, False


class LipschitzGate(Gate):
    """The proven Lipschitz bound must be at most `threshold`."""

    def judge(self, found: Measured) -> Verdict:
        bound = found.lipschitz_upper
        return bound, bound is not None and Fraction(float(bound)) <= self.threshold, bound is None


@dataclass(frozen=True)
class DropGate(Gate):
    """No accuracy may lie more than `threshold` below that of an earlier run on the same data."""

    before: Measured | None = None

    def judge(self, found: Measured) -> Verdict:
        before = self.before
        assert before is not None
        drops = [Fraction(before.correct, before.n) - Fraction(found.correct, found.n)]
        could = [drops[0]]
        for eps, count in before.certified.items():
            if eps in found.certified:
                now, earlier = found.certified[eps], Fraction(count, before.n)
                drops.append(earlier - Fraction(now, found.n))
                could.append(earlier - Fraction(now + found.undecided, found.n))
        passed = max(drops) <= self.threshold
        return float(max(drops)), passed, max(could) <= self.threshold and not passed


def parse_fail_under(text: str | None) -> list[Gate]:
    """`--fail-under "36/255=0.55,1=0.1"`, the short form of gates on certified accuracies.

    Raises:
        InputError: not of that form, or a threshold outside [0, 1].
    """
    gates = []
    for part in [] if text is None else text.split(","):
        eps, equals, number = (piece.strip() for piece in part.partition("="))
        if not equals or not re.fullmatch(_NUMBER, number) or Fraction(number) > 1:
            raise InputError(f"--fail-under {part!r}: expected EPS=SHARE, such as 36/255=0.55")
        gates.append(_one(f"certified_accuracy@{eps} >= {number}", None, None))
    return gates


def parse_gates(
    text: str | None, config: Config | None = None, earlier: Path | None = None
) -> list[Gate]:
    """The gates of `--gates`, separated by `;`.

    Args:
        text: What was written.
        config: The settings file, if they come from it: paths are relative to it, and they have a line.
        earlier: The run that a `max_drop` is about where it names none.

    Raises:
        InputError: a gate of no known form, or a baseline that cannot be read.
    """
    parts = [part.strip() for part in (text or "").split(";")]
    gates = [_one(part, config, earlier) for part in parts if part]
    if config is not None:
        lines = [config.line_of(gate.text) for gate in gates]
        placed = zip(gates, lines, strict=True)
        gates = [replace(gate, file=config.shown, line=line) for gate, line in placed]
    return gates


def judge(found: Measured, gates: Sequence[Gate]) -> tuple[list[dict[str, Any]], int]:
    """The gates' verdicts; a gate that only undecided samples could save is inconclusive (3)."""
    rows, code = [], 0
    for gate in gates:
        actual, passed, undecided = gate.judge(found)
        row = {"expr": gate.text, "actual": actual, "passed": passed, "undecided": undecided}
        rows.append(row if gate.file is None else row | {"file": gate.file, "line": gate.line})
        if not passed:
            code = 3 if undecided and code != 1 else 1
    return rows, code


def _one(text: str, config: Config | None, earlier: Path | None) -> Gate:
    from certlip.certification import parse_eps

    accuracy = re.fullmatch(rf"certified_accuracy@(\S+)\s*>=\s*({_NUMBER})", text)
    if accuracy and Fraction(accuracy[2]) <= 1:
        [eps] = parse_eps(accuracy[1])
        return AccuracyGate(text, Fraction(accuracy[2]), (eps,))
    natural = re.fullmatch(rf"natural_accuracy\s*>=\s*({_NUMBER})", text)
    if natural and Fraction(natural[1]) <= 1:
        return NaturalGate(text, Fraction(natural[1]))
    bound = re.fullmatch(rf"lipschitz_upper\s*<=\s*({_NUMBER})", text)
    if bound:
        return LipschitzGate(text, Fraction(bound[1]))
    drop = re.fullmatch(rf"max_drop\s+({_NUMBER})(?:\s+vs\s+(\S.*))?", text)
    if drop and Fraction(drop[1]) <= 1 and (drop[2] or earlier):
        path = (
            earlier
            if drop[2] is None
            else Path(drop[2] if config is None else config.placed(drop[2]))
        )
        return _drop(text, Fraction(drop[1]), path or Path())
    raise InputError(f"--gates {text!r}: expected {FORMS}, with shares from 0 to 1")


def _drop(text: str, threshold: Fraction, path: Path) -> DropGate:
    from certlip.certification import parse_eps

    document = read_document(document_path(path))
    before = Measured.of_document(document)
    if document["exit_code"] in (4, 5, 130) or document["status"] != "done" or not before.n:
        raise InputError(f"{path}: expected a finished and sound run with samples, for {text!r}")
    stated = [key for key in document["certified_accuracy"] if not key.endswith("_reason")]
    eps = tuple(parse_eps(",".join(stated))) if stated else ()
    subject = Subject.of(document["data"], document["settings"])
    return DropGate(text, threshold, eps, before=before, subject=subject, name=str(path))


def _share(count: int, n: int) -> float | None:
    return count / n if n else None
