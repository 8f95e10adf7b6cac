"""What the HTML page shows, as plain values: every number is chosen and rounded here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from certlip.errors import InputError
from certlip.report.base import Document, Run, Sample, check_document, field
from certlip.report.curve import StepCurve, radius, step_curve
from certlip.report.json_format import strict
from certlip.report.numbers import NONE, finite, lower, parse_eps, percent, upper
from certlip.report.ordered import median, ordered_pairs
from certlip.report.pictures import picture_groups

STATUSES = ("certified", "misclassified", "falsified", "unknown", "unsupported", "error")
NORMS = {"l2": "ℓ₂", "linf": "ℓ∞"}


@dataclass(frozen=True)
class RunView:
    """One run, ready to be shown: its label, document, curve and the accuracies it states."""

    label: str
    document: dict[str, Any]
    curve: StepCurve
    accuracies: tuple[tuple[str, float | None], ...]
    """(ε as written, certified accuracy of the document), ascending in ε."""

    @classmethod
    def of(cls, label: str | None, document: Document, samples: Sequence[Sample]) -> RunView:
        """Check and gather.

        Raises:
            InputError: not a certify document, or a row that cannot be read.
        """
        plain = strict(document)
        check_document(plain)
        stated = {
            key: finite(value)
            for key, value in field(plain, "certified_accuracy").items()
            if not key.endswith("_reason")
        }
        ordered = sorted(stated.items(), key=lambda item: parse_eps(item[0]))
        name = str(field(plain, "model.path")).replace("\\", "/").rsplit("/", 1)[-1]
        return cls(label or name, plain, step_curve(samples), tuple(ordered))

    @property
    def points(self) -> list[tuple[str, float]]:
        """The accuracies that are numbers."""
        return [(eps, value) for eps, value in self.accuracies if value is not None]


def build(document: Document, samples: Sequence[Sample], compare: Sequence[Run]) -> dict[str, Any]:
    """Return the variables of the template, without the figures.

    Raises:
        InputError: a field is missing or has an unusable value; the message names it.
    """
    run = RunView.of(None, document, samples)
    others = [RunView.of(*other) for other in compare]
    n = field(run.document, "data.n")
    return {
        "doc": run.document,
        "run": run,
        "runs": [run, *others],
        "n": n,
        "norm": _norm(str(field(run.document, "settings.norm"))),
        "linf": _linf(run.document),
        "natural": percent(field(run.document, "natural_accuracy")),
        "cards": [_card(run, eps, value) for eps, value in run.accuracies],
        "lipschitz_short": upper(field(run.document, "lipschitz_upper")),
        "statuses": _statuses(field(run.document, "counts")),
        "classes": _classes(samples, [eps for eps, _ in run.accuracies]),
        "comparison": [_comparison_row(other, run) for other in (run, *others)],
        "pictures": picture_groups(run.document),
        "certified": len(run.curve.radii),
        "median": lower(median(run.curve.radii)) if run.curve.radii else NONE,
        "warnings": _warnings(run, n, len(samples)),
    }


def _norm(text: str) -> str:
    """The norm that radii of the page are in: the first one."""
    first = text.split(",")[0].strip()
    return NORMS.get(first, first)


def _linf(document: Document) -> list[dict[str, str]]:
    """Certified accuracies in the ℓ∞ norm, where radii of the page are in another one."""
    if "linf" not in document or field(document, "settings.norm") == "linf":
        return []
    accuracies = field(document, "linf.certified_accuracy")
    return [
        {"eps": eps, "value": percent(accuracies[eps])} for eps in sorted(accuracies, key=parse_eps)
    ]


def _card(run: RunView, eps: str, value: float | None) -> dict[str, Any]:
    reason = run.document["certified_accuracy"].get(f"{eps}_reason", "no value")
    count = run.curve.count(parse_eps(eps)) if run.curve.n else None
    return {
        "eps": eps,
        "decimal": f"{float(parse_eps(eps)):.4g}",
        "value": percent(value),
        "exact": value,
        "note": reason if value is None else None,
        "count": None if count is None else f"{count:,} of {run.curve.n:,}",
    }


def _statuses(counts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return name, count and share of each status; unknown keys are shown too, after the others."""
    total = sum(counts.values())
    names = [*STATUSES, *(name for name in counts if name not in STATUSES)]
    return [
        {
            "name": name,
            "count": counts.get(name, 0),
            "share": 100 * counts.get(name, 0) / total if total else 0,
        }
        for name in names
    ]


def _classes(samples: Sequence[Sample], eps: Sequence[str]) -> list[dict[str, Any]]:
    """Return the per-class table. A sample that is not certified counts as radius 0."""
    n: Counter[int] = Counter()
    right: Counter[int] = Counter()
    certified: Counter[int] = Counter()

    def pairs() -> Iterator[tuple[int, float]]:
        """Class and radius, counted on the way."""
        for row in samples:
            label, own = field(row, "label"), radius(row)
            if not isinstance(label, int):
                raise InputError(
                    f"sample {row.get('index', '?')}: label is {label!r}; expected 0, 1, …"
                )
            n[label] += 1
            right[label] += field(row, "predicted") == label
            certified[label] += own is not None
            yield label, own or 0.0

    radii, table, end = ordered_pairs(pairs()), [], 0
    for label in sorted(n):
        start, end = end, end + n[label]
        # whoever is not certified comes first: no radius is below 0
        curve = StepCurve(radii[end - certified[label] : end], n[label])
        table.append(
            {
                "label": label,
                "n": n[label],
                "accuracy": percent(right[label] / n[label], 1),
                "median": lower(median(radii[start:end])),
                "certified": [percent(curve.at(parse_eps(text)), 1) for text in eps],
            }
        )
    return table


def _comparison_row(other: RunView, run: RunView) -> dict[str, Any]:
    stated = {parse_eps(eps): value for eps, value in other.accuracies}
    return {
        "label": other.label,
        "natural": percent(field(other.document, "natural_accuracy")),
        "lipschitz": upper(field(other.document, "lipschitz_upper")),
        "certified": [percent(stated.get(parse_eps(eps))) for eps, _ in run.accuracies],
        "same_data": field(other.document, "data.sha256") == field(run.document, "data.sha256"),
        "n": field(other.document, "data.n"),
    }


def _warnings(run: RunView, n: int, rows: int) -> list[str]:
    """Return what a reader must know before trusting the numbers of this page."""
    warnings = []
    broken = (field(run.document, "falsifier") or {}).get("broken", 0)
    if broken or field(run.document, "exit_code") == 5:
        warnings.append(
            "UNSOUND: a counterexample to a certified sample was found and confirmed. "
            "Trust no certified number of this page."
        )
    if field(run.document, "status") != "done":
        warnings.append(
            "The run was interrupted. The numbers cover only the samples that were finished."
        )
    if n == 0:
        warnings.append("There were no samples, so nothing is certified.")
    if rows and rows != n:
        warnings.append(
            f"The document states {n:,} samples and {rows:,} rows came with it; "
            "figures and class table are of the rows."
        )
    elif rows:
        for eps, value in run.points:
            found = run.curve.at(parse_eps(eps))
            if abs(found - value) > 1e-9:
                warnings.append(
                    f"At ε = {eps} the document states {percent(value)} certified and the "
                    f"samples give {percent(found)}. They do not belong together."
                )
    return warnings
