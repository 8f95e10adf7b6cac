"""Gates: certified accuracies that decide the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from certlip.errors import InputError

if TYPE_CHECKING:
    from certlip.certify import Eps, Tally


@dataclass(frozen=True)
class Gate:
    """Certified accuracy at ε must be at least `threshold`."""

    text: str
    eps: Eps
    threshold: float


def parse_gates(text: str | None) -> list[Gate]:
    """`--fail-under "36/255=0.55,1=0.1"`.

    Raises:
        InputError: not of that form, or a threshold outside [0, 1].
    """
    from certlip.certify import parse_eps

    gates = []
    for part in [] if text is None else text.split(","):
        eps, equals, number = part.partition("=")
        try:
            threshold = float(number)
        except ValueError:
            threshold = float("nan")
        if not equals or not 0.0 <= threshold <= 1.0:
            raise InputError(f"--fail-under {part!r}: expected EPS=SHARE, such as 36/255=0.55")
        [parsed] = parse_eps(eps.strip())
        gates.append(Gate(f"certified_accuracy@{parsed.text} >= {threshold!r}", parsed, threshold))
    return gates


def judge(counted: Tally, gates: Sequence[Gate]) -> tuple[list[dict[str, Any]], int]:
    """The gates' verdicts; a gate that only undecided samples could save is inconclusive (3)."""
    rows, code = [], 0
    n = counted.n
    for gate in gates:
        certified = counted.certified[gate.eps.text]
        # the decimal that was written: the double nearest to 0.55 lies above 0.55
        needed = Fraction(repr(gate.threshold)) * n
        passed = certified >= needed
        undecided = not passed and certified + counted.undecided >= needed
        row = {"expr": gate.text, "actual": certified / n, "passed": passed}
        rows.append(row | {"undecided": undecided})
        if not passed:
            code = 3 if undecided and code != 1 else 1
    return rows, code
