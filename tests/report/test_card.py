"""The model card: front matter that YAML reads back, and no results of runs that prove nothing."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from documents import make_document, make_samples
from hypothesis import given
from hypothesis import strategies as st

from certlip.report import FORMATS
from certlip.report.plain import line


def card(document: dict[str, Any]) -> tuple[dict[str, Any], str]:
    text = FORMATS["card"].render(document, [])
    start, front, body = text.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(front), body


def whole() -> dict[str, Any]:
    return make_document(make_samples(60, 0, 0.11)) | {"gates": [], "exit_code": 0}


def test_the_index_has_the_numbers_of_the_document():
    document = whole()
    front, body = card(document)
    [model] = front["model-index"]
    assert model["name"] == "sll"
    [result] = model["results"]
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"name": "digits", "type": "digits", "split": "test"}
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert values["natural accuracy"] == document["natural_accuracy"]
    for eps, share in document["certified_accuracy"].items():
        assert values[f"certified accuracy, l2, ε = {eps}"] == share
    assert len(values) == 5
    assert body.startswith("\n# sll\n")
    assert "## certlip: holds" in body


def test_names_of_models():
    for path, name in (("runs/digits/model.pt", "digits"), ("model.pt", "model"), ("/", "model")):
        document = whole()
        document["model"]["path"] = path
        assert card(document)[0]["model-index"][0]["name"] == name
    document["data"]["shape"] = [64]
    result = card(document)[0]["model-index"][0]["results"][0]
    assert result["task"]["type"] == "tabular-classification"


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "interrupted", "exit_code": 130},
        {"exit_code": 5},
        {"exit_code": 4},
        {"falsifier": {"attacked": 9, "steps": 1, "restarts": 1, "broken": 1}, "exit_code": 5},
    ],
)
def test_no_results_of_what_proves_nothing(changes):
    assert "model-index" not in card(whole() | changes)[0]


def test_no_results_without_samples():
    assert "model-index" not in card(make_document([]) | {"gates": []})[0]


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_any_name_reads_back(name):
    document = whole()
    document["data"]["name"] = name
    [model] = card(document)[0]["model-index"]
    assert model["results"][0]["dataset"]["name"] == line(name)
