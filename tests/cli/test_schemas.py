"""Every JSON document that a command writes has a schema in the package and fits it, whatever came out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from certlip.report import load_schema
from certlip.report.schemas import NAMES

ROOT = Path(__file__).resolve().parents[2]
OF_FILES = {"certlip/model/1", "certlip/certify-run/1", "certlip/pictures/1"}
"""What only certlip reads."""


def fits(document) -> None:
    name = document["schema"].removeprefix("certlip/").replace("/", "-")
    schema = load_schema(name)
    jsonschema.validate(document, schema)
    # and the schema says something: nothing that it requires can be left out
    for key in schema["required"]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in document.items() if k != key}, schema)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_schema_is_one_and_every_document_has_one():
    for name in NAMES:
        schema = load_schema(name)
        jsonschema.Draft202012Validator.check_schema(schema)
        own, version = name.rsplit("-", 1)
        assert schema["$id"] == f"urn:certlip:schema:{own}:{version}"
        assert schema["properties"]["schema"] == {"const": f"certlip/{own}/{version}"}
        assert schema["description"]
    files = [*(ROOT / "cli").rglob("*.py"), *(ROOT / "certlip").rglob("*.py")]
    text = "\n".join(path.read_text("utf-8") for path in files)
    written = set(re.findall(r'"(certlip/[a-z-]+/[0-9]+)"', text)) - OF_FILES
    assert written
    assert {s.removeprefix("certlip/").replace("/", "-") for s in written} <= set(NAMES)


LINES = {
    "check-lmi": ("check-lmi", "SLL"),
    "check-lmi, refuted": ("check-lmi", "LBEN", "--lipschitz", "0.5"),
    "lipschitz": ("lipschitz", "SLL", "--no-pairs", "--max-seconds", "1"),
    "inspect": ("inspect", "LBEN"),
    "doctor": ("doctor",),
    "data": ("data", "list"),
    "attack": ("attack", "SLL", "--dataset", "digits", "--limit", 9, "--steps", 2),
    "recipes": ("train", "--list"),
    "config": ("certify", "--print-config"),
    "init": ("init",),
    "verify": ("verify", "CERTIFICATE"),
    "verify, rejected": ("verify", "CERTIFICATE", "--model", "LBEN"),
    "train": ("train", "--dataset", "digits", "--limit", 60, "--epochs", 1, "--out", "run"),
    "finetune": ("finetune", "SLL", "--limit", 60, "--epochs", 1, "--out", "run"),
    "certify": (
        "certify",
        "SLL",
        "--dataset",
        "digits",
        "--limit",
        9,
        "--gates",
        "natural_accuracy >= 0",
    ),
    "certify, failing": (
        "certify",
        "SLL",
        "--dataset",
        "digits",
        "--limit",
        9,
        "--fail-under",
        "9=1",
    ),
}
CODES = {"check-lmi, refuted": 1, "verify, rejected": 1, "certify, failing": 1}


@pytest.mark.parametrize("name", LINES)
def test_documents_of_commands(certlip, story, name):
    places = {
        "SLL": story / "sll" / "model.pt",
        "LBEN": story / "lben" / "model.pt",
        "CERTIFICATE": story / "sll.certlip",
    }
    result = certlip(*(places.get(part, part) for part in LINES[name]), "--json")
    assert result.code == CODES.get(name, 0), result.err
    fits(result.document)


def test_documents_of_what_is_inconclusive_and_of_conversions(certlip, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import torch\ndef tie():\n    layer = torch.nn.Linear(2, 2)\n"
        "    torch.nn.init.ones_(layer.weight)\n    torch.nn.init.zeros_(layer.bias)\n"
        "    return layer, (2,)\n"
    )
    line = ("convert", "mine:tie", "--from", "torch", "--out", "tie.pt", "--json")
    fits(certlip(*line).document)
    np.savez(tmp_path / "data.npz", x=np.full((4, 2), 0.5), y=np.array([0, 0, 0, 1]))
    line = ("certify", "tie.pt", "--dataset", "npz:data.npz", "--fail-under", "0.1=0.5")
    result = certlip(*line, "--report", "run", "--json")
    assert result.code == 3
    fits(result.document)
    fits(json.loads((tmp_path / "run" / "report.json").read_text("utf-8")))
    fits(certlip("compare", "run", "run", "--gates", "max_drop 0", "--json").document)
