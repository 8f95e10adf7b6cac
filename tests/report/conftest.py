"""Documents and samples that tests may change."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from documents import make_document, make_samples

_SAMPLES = make_samples(360, 0, 0.11)
_BEFORE = make_samples(360, 1, 0.08)


@pytest.fixture
def samples() -> list[dict[str, Any]]:
    return copy.deepcopy(_SAMPLES)


@pytest.fixture
def document() -> dict[str, Any]:
    return make_document(copy.deepcopy(_SAMPLES), "runs/lben.pt")


@pytest.fixture
def empty_document() -> dict[str, Any]:
    return make_document([])


@pytest.fixture
def before() -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    rows = copy.deepcopy(_BEFORE)
    return "SLL, before fine-tuning", make_document(rows), rows
