"""A model card: Markdown with the front matter of the Hugging Face Hub, results as `model-index`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from certlip.report.base import Document, ReportFormat, Run, Sample, field
from certlip.report.cases import Outcome, cases
from certlip.report.markdown import MarkdownFormat, escape
from certlip.report.numbers import finite, parse_eps, upper
from certlip.report.plain import line

CLAIM = """\
Radii and certified accuracies are proven for the function that the stored weights define, rounding
included: no perturbation of that norm changes the class. They say nothing about other weights or inputs,
or about arithmetic that the report does not name. ε is in raw input units."""


class CardFormat(ReportFormat):
    """The card of a run. What is unsound, unfinished or without samples gets no results to publish."""

    name = "card"
    suffix = ".card.md"

    def render(
        self, document: Document, samples: Sequence[Sample], compare: Sequence[Run] = ()
    ) -> str:
        front: dict[str, Any] = {
            "library_name": "certlip",
            "tags": ["certified-robustness", "lipschitz", "certlip"],
        }
        name = _name(document)
        if cases(document)[0].outcome is Outcome.MET:
            front["model-index"] = [{"name": name, "results": [_result(document)]}]
        kinds = [escape(field(block, "kind")) for block in field(document, "model.blocks")]
        parts = [
            "\n".join(["---", *_yaml(front), "---"]),
            f"# {escape(name)}",
            f"Blocks: {', '.join(kinds)}. Lipschitz bound from raw inputs to logits, proven: "
            f"{escape(upper(field(document, 'lipschitz_upper')))}.",
            MarkdownFormat().render(document, samples, compare).rstrip("\n"),
            "## What is proven",
            CLAIM,
            "Certified again with `certlip certify`, and with `certlip verify` from a certificate.",
        ]
        return "\n\n".join(parts) + "\n"


def _name(document: Document) -> str:
    """The file's name; that of its folder if it is `model.pt` like all of them."""
    path = PurePosixPath(line(field(document, "model.path")).replace("\\", "/"))
    name = path.parent.name if path.stem == "model" and path.parent.name else path.stem
    return name or "model"


def _result(document: Document) -> dict[str, Any]:
    norm = line(str(field(document, "settings.norm")).split(",")[0])
    metrics = [_metric("accuracy", "natural accuracy", field(document, "natural_accuracy"))]
    stated = field(document, "certified_accuracy")
    for eps in sorted((key for key in stated if not key.endswith("_reason")), key=parse_eps):
        said = f"certified accuracy, {norm}, ε = {line(eps)}"
        metrics.append(_metric("certified_accuracy", said, stated[eps]))
    data = line(field(document, "data.name"))
    image = len(field(document, "data.shape")) > 1
    return {
        "task": {"type": "image-classification" if image else "tabular-classification"},
        "dataset": {"name": data, "type": data, "split": line(field(document, "data.split"))},
        "metrics": [metric for metric in metrics if metric["value"] is not None],
    }


def _metric(kind: str, name: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "value": finite(value), "verified": False}


def _yaml(value: Any, indent: str = "") -> list[str]:
    """Block YAML of mappings, lists and scalars; a scalar as JSON, which is YAML too."""
    lines = []
    if isinstance(value, dict):
        for key, part in value.items():
            if isinstance(part, dict | list):
                lines += [f"{indent}{key}:", *_yaml(part, indent + "  ")]
            else:
                lines.append(f"{indent}{key}: {json.dumps(part, ensure_ascii=False)}")
        return lines
    for part in value:
        if isinstance(part, dict):
            first, *rest = _yaml(part, indent + "  ")
            lines += [f"{indent}- {first.lstrip()}", *rest]
        else:
            lines.append(f"{indent}- {json.dumps(part, ensure_ascii=False)}")
    return lines
