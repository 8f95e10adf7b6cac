"""How gates are written.

certified_accuracy@36/255 >= 0.55
certified_accuracy_linf@0.1 >= 0.9
natural_accuracy >= 0.9
lipschitz_upper <= 1.001
max_drop 0.01 vs baseline.json
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from certlip.errors import InputError

from .gates import AccuracyGate, DropGate, Gate, LinfGate, LipschitzGate, NaturalGate
from .measured import Measured, Subject
from .reading import document_path, read_document

if TYPE_CHECKING:
    from .config import Config

FORMS = (
    "'certified_accuracy@EPS >= SHARE', 'certified_accuracy_linf@EPS >= SHARE', "
    "'natural_accuracy >= SHARE', 'lipschitz_upper <= L' or 'max_drop SHARE vs FILE'"
)
_NUMBER = r"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?"


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


def _one(text: str, config: Config | None, earlier: Path | None) -> Gate:
    from certlip.certification import parse_eps

    accuracy = re.fullmatch(rf"certified_accuracy(_linf)?@(\S+)\s*>=\s*({_NUMBER})", text)
    if accuracy and Fraction(accuracy[3]) <= 1:
        [eps] = parse_eps(accuracy[2])
        if accuracy[1]:
            return LinfGate(text, Fraction(accuracy[3]), eps_linf=(eps,))
        return AccuracyGate(text, Fraction(accuracy[3]), (eps,))
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
