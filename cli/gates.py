"""Gates: what a run must reach; they decide the exit code. `gate_words` reads them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from certlip.errors import InputError

from .measured import Measured, Subject

if TYPE_CHECKING:
    from certlip.certification import Eps

Verdict = tuple[Any, bool, bool]
"""The actual value, whether the gate is met, and whether undecided samples could still meet it."""


@dataclass(frozen=True)
class Gate(ABC):
    """One requirement, as it was written, and the place in a settings file where it was."""

    text: str
    threshold: Fraction
    """The decimal that was written: the double nearest to 0.55 lies above 0.55."""
    eps: tuple[Eps, ...] = ()
    """The radii at which it needs counts, in the norm of the run."""
    eps_linf: tuple[Eps, ...] = ()
    """Those in the ℓ∞ norm, whatever other norm the run has."""
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

    def require_norms(self, norms: Sequence[str]) -> None:
        """Refuses, before any work, a run without the norm of the gate."""
        if self.eps_linf and "linf" not in norms:
            raise InputError(f"--gates {self.text!r}: expected --norm linf or l2,linf")

    def require_counts(self, found: Measured) -> None:
        """Refuses a stored run that was not counted at any ε of the gate."""
        counted = [Fraction(e.text) in found.certified for e in self.eps]
        counted += [Fraction(e.text) in found.linf for e in self.eps_linf]
        if counted and not any(counted):
            raise InputError(f"--gates {self.text!r}: the run has no certified accuracy there")

    @abstractmethod
    def judge(self, found: Measured) -> Verdict:
        """The verdict on a run."""


class AccuracyGate(Gate):
    """Certified accuracy at ε must be at least `threshold`."""

    def judge(self, found: Measured) -> Verdict:
        certified, needed = self.count(found), self.threshold * found.n
        passed = certified >= needed
        could = certified + found.undecided >= needed
        return _share(certified, found.n), passed, could and not passed

    def count(self, found: Measured) -> int:
        return found.certified[Fraction(self.eps[0].text)]


class LinfGate(AccuracyGate):
    """The same in the ℓ∞ norm."""

    def count(self, found: Measured) -> int:
        return found.linf[Fraction(self.eps_linf[0].text)]


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


def _share(count: int, n: int) -> float | None:
    return count / n if n else None
