"""The headline numbers of a certification as rows, for the terminal and for Markdown."""

from __future__ import annotations

from typing import Any

from certlip.report.base import Document, check_document, field
from certlip.report.numbers import measured, parse_eps, percent, upper

Row = tuple[str, str, str]
"""Name, value, and the style the terminal gives it."""


def headline(document: Document) -> list[list[Row]]:
    """Return the rows of a `certlip/certify/1` document, in sections.

    Raises:
        InputError: not such a document, or a field is missing.
    """
    check_document(document)
    linf, first = "linf" in document, "ℓ∞ ε" if field(document, "settings.norm") == "linf" else "ε"
    accuracies: list[Row] = [("natural accuracy", percent(field(document, "natural_accuracy")), "")]
    stated = field(document, "certified_accuracy")
    for eps in sorted((key for key in stated if not key.endswith("_reason")), key=parse_eps):
        accuracies.append((f"certified at {first} = {eps}", percent(stated[eps]), "bold"))
    beside = linf and first == "ε"
    if beside:
        inside = field(document, "linf.certified_accuracy")
        for eps in sorted(inside, key=parse_eps):
            accuracies.append((f"certified at ℓ∞ ε = {eps}", percent(inside[eps]), "bold"))
    proven: list[Row] = [("Lipschitz bound L ≤", upper(field(document, "lipschitz_upper")), "")]
    if "pairs" in document:
        proven.append(("bounds of pairs of classes", _pairs(field(document, "pairs")), ""))
    if linf:
        proven.append(("ℓ∞ radii", _methods(field(document, "linf")), ""))
    for status, count in field(document, "counts").items():
        if count or status == "certified":
            bad = status in ("falsified", "error", "unsupported")
            proven.append((status, f"{count:,}", "red" if bad else ""))
    work: list[Row] = [("falsifier", _falsifier(field(document, "falsifier")), "")]
    if beside:
        work.append(("ℓ∞ falsifier", _falsifier(field(document, "linf.falsifier")), ""))
    work += [
        ("samples per second", measured(field(document, "throughput")), ""),
        ("seconds", measured(field(document, "seconds")), ""),
    ]
    return [accuracies, proven, work]


def title(document: Document) -> str:
    """Return what was certified: the model, the data and how many samples."""
    data, n = field(document, "data"), field(document, "data.n")
    return f"{field(document, 'model.path')} on {data['name']} ({data['split']}), {n:,} samples"


def _falsifier(result: dict[str, Any] | None) -> str:
    if result is None:
        return "not run"
    return f"{field(result, 'broken'):,} of {field(result, 'attacked'):,} attacked points broken"


def _methods(linf: dict[str, Any]) -> str:
    counts = field(linf, "methods")
    boxes = counts["interval"] + counts.get("dual", 0)
    said = f"{boxes:,} by boxes, {counts['l2']:,} from ℓ2"
    return (
        said if field(linf, "interval") else f"{said}; no boxes: {field(linf, 'interval_reason')}"
    )


def _pairs(counts: dict[str, int]) -> str:
    words = {"lmi": "by an LMI", "rows": "by two rows", "sqrt2": "by √2·L"}
    said = [f"{counts[kind]:,} {word}" for kind, word in words.items() if counts.get(kind)]
    return ", ".join(said) or "none"
