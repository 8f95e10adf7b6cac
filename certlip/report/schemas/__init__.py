"""JSON Schemas (2020-12) of the documents that certlip writes."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from certlip.errors import InputError

NAMES = (
    "attack-1",
    "certificate-2",
    "certify-1",
    "check-lmi-1",
    "compare-1",
    "config-1",
    "convert-1",
    "data-1",
    "demo-1",
    "doctor-1",
    "export-1",
    "finetune-1",
    "init-1",
    "inspect-1",
    "lipschitz-1",
    "recipes-1",
    "train-1",
    "verify-1",
)


def load_schema(name: str) -> dict[str, Any]:
    """Return a schema by name.

    Raises:
        InputError: no such schema.
    """
    if name not in NAMES:
        raise InputError(f"schema '{name}': expected {', '.join(NAMES)}")
    return json.loads(files(__name__).joinpath(f"{name}.schema.json").read_text("utf-8"))
