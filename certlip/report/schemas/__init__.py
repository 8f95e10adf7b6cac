"""JSON Schemas (2020-12) of the documents that certlip writes."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from certlip.errors import InputError

NAMES = ("certify-1", "compare-1", "check-lmi-1", "lipschitz-1", "certificate-2")


def load_schema(name: str) -> dict[str, Any]:
    """Return a schema by name.

    Raises:
        InputError: no such schema.
    """
    if name not in NAMES:
        raise InputError(f"schema '{name}': expected {', '.join(NAMES)}")
    return json.loads(files(__name__).joinpath(f"{name}.schema.json").read_text("utf-8"))
