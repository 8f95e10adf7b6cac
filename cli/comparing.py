"""The differences between two stored runs on the same samples, as the document `certlip/compare/1`."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from certlip.errors import InconclusiveError, InputError, UnsoundError

from .measured import Measured, Subject
from .reading import document_path, read_document

SCHEMA = "certlip/compare/1"
Row = Mapping[str, Any]


def read_run(path: Path) -> tuple[dict[str, Any], Measured]:
    """The document of a run, and its counts.

    Raises:
        InputError: no such document.
        UnsoundError: a certificate of that run was broken, so none of its numbers can be compared.
        InconclusiveError: it was interrupted or had no samples.
    """
    document = read_document(document_path(path))
    if document["exit_code"] == UnsoundError.exit_code:
        raise UnsoundError(f"{path}: a certified sample was broken; trust no number of it")
    if document["status"] != "done" or document["exit_code"] in (4, 130):
        raise InconclusiveError(f"{path}: was not finished; expected results of all samples")
    if document["data"]["n"] == 0:
        raise InconclusiveError(f"{path}: had no samples, so there is nothing to compare")
    return document, Measured.of_document(document)


def require_comparable(old: Row, new: Row, name: str) -> None:
    """Refuses runs on other data, in another norm, or of models for other inputs.

    Raises:
        InputError: what differs, with both values.
    """
    first, second = (Subject.of(own["data"], own["settings"]) for own in (old, new))
    second.require_same(first, name)


def differences(old: Row, new: Row, before: Measured, after: Measured) -> dict[str, Any]:
    """The accuracies and bounds of both runs, and new minus old; ε as the new run writes them."""
    from certlip.report.numbers import parse_eps

    certified = {}
    for eps in (key for key in new["certified_accuracy"] if not key.endswith("_reason")):
        exact = parse_eps(eps)
        if exact in before.certified:
            counts = before.certified[exact], after.certified[exact]
            certified[eps] = _shares(*counts, after.n)
    bounds = [own["lipschitz_upper"] for own in (old, new)]
    return {
        "natural_accuracy": _shares(before.correct, after.correct, after.n),
        "certified_accuracy": certified,
        "lipschitz_upper": {"old": bounds[0], "new": bounds[1]},
    }


def compare_rows(
    old: Iterable[Row], new: Iterable[Row], eps: Iterable[str], n: int
) -> dict[str, Any] | None:
    """What happened to the single samples; nothing if one of the runs kept no rows.

    Raises:
        InputError: rows that do not belong to each other or to the documents.
    """
    from certlip.report.numbers import parse_eps

    bounds = {text: parse_eps(text) for text in eps}
    gained, lost = dict.fromkeys(bounds, 0), dict.fromkeys(bounds, 0)
    moves: Counter[str] = Counter()
    larger = smaller = count = 0
    for a, b in itertools.zip_longest(old, new):
        if count == 0 and (a is None or b is None):
            return None
        if a is None or b is None or any(a.get(k) != b.get(k) for k in ("index", "label")):
            raise InputError(f"results.jsonl: row {count} is another sample in the two runs")
        before, after = _radius(a), _radius(b)
        larger, smaller = larger + (after > before), smaller + (after < before)
        for text, bound in bounds.items():
            gained[text] += before < bound <= after
            lost[text] += after < bound <= before
        if a["status"] != b["status"]:
            moves[f"{a['status']} -> {b['status']}"] += 1
        count += 1
    if count == 0:
        return None
    if count != n:
        raise InputError(f"results.jsonl: has {count} rows; expected {n}, those of the documents")
    return {
        "gained": gained,
        "lost": lost,
        "radius_larger": larger,
        "radius_smaller": smaller,
        "statuses": dict(sorted(moves.items())),
    }


def _shares(old: int, new: int, n: int) -> dict[str, float]:
    return {"old": old / n, "new": new / n, "difference": (new - old) / n}


def _radius(row: Row) -> Fraction:
    """The certified radius, 0 without one."""
    try:
        return Fraction(float(row["radius_lower"]) if row["status"] == "certified" else 0)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InputError(
            f"results.jsonl: row {row.get('index')!r} has no status and radius"
        ) from None
