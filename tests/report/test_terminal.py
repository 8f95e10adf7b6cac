"""Tables for the terminal."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from certlip.errors import InputError
from certlip.report.terminal import blocks_table, certify_table, ladder_table, proof_table

PROOF = {
    "name": "1[bold]",
    "n": 128,
    "condition": "4",
    "method": "structured",
    "solver": None,
    "lipschitz_claimed": 1.0,
    "lipschitz_upper": "1.0000000000000093",
    "slack_lower": "3.1419e-9",
    "proven": True,
    "seconds": 0.1234,
}


def shown(table: Table, width: int = 120) -> str:
    assert isinstance(table, Table)
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table)
    return stream.getvalue()


def words(table: Table) -> str:
    return " ".join(shown(table).split())


def test_blocks(document, capsys) -> None:
    text = words(blocks_table(document["model"]["blocks"]))
    assert "0 affine 64 → 64 normalisation 1" in text
    assert "1 equilibrium 64 → 64 (k=128) LBEN, condition (4) 1.00001" in text
    assert capsys.readouterr() == ("", "")
    assert "Blocks" in words(blocks_table([]))


def test_certify(document) -> None:
    text = words(certify_table(document))
    assert "runs/lben.pt on digits (test), 360 samples" in text
    assert "certified at ε = 36/255 90.83 %" in text
    assert text.index("ε = 108/255") < text.index("ε = 1 ")
    assert "Lipschitz bound L ≤ 1.00001" in text
    assert "falsifier 0 of 100 attacked points broken" in text
    assert "gate lipschitz_upper <= 1 not met (actual 1.0000000000000093)" in text
    assert "interrupted" not in text


def test_certify_edge_cases(empty_document) -> None:
    empty_document |= {
        "natural_accuracy": math.nan,
        "natural_accuracy_reason": "no samples",
        "falsifier": None,
        "status": "interrupted",
    }
    text = words(certify_table(empty_document))
    assert "natural accuracy –" in text
    assert "falsifier not run" in text
    assert "interrupted" in text


def test_proof() -> None:
    failed = PROOF | {"proven": False, "lipschitz_upper": None, "slack_lower": None, "name": "2"}
    text = words(proof_table([PROOF, failed]))
    assert "1[bold] 4 structured proven 128 1 1.00001 3.141e-9 0.12" in text
    assert "2 4 structured not proven 128 1 – – 0.12" in text


def test_a_title_is_a_line_where_there_is_room() -> None:
    rung = {"name": "norms", "lipschitz_upper": "1.0", "seconds": 0.1}
    document = {
        "model": {"path": "m.pt"},
        "rungs": [rung],
        "lipschitz_upper": "1.0",
        "spectral_product": "1.0",
    }
    title = "m.pt: proven Lipschitz bounds, raw inputs to logits"
    assert shown(ladder_table(document)).splitlines()[0].strip() == title
    assert title in " ".join(shown(ladder_table(document), 30).split())


def test_a_bound_without_proof_is_not_shown() -> None:
    assert "1.00001" not in words(proof_table([PROOF | {"proven": False}]))
    assert "1.00001" not in words(proof_table([PROOF | {"proven": "yes"}]))


def test_narrow_terminal(document) -> None:
    assert max(map(len, shown(certify_table(document), width=60).splitlines())) <= 60


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (blocks_table, [{"name": "0"}]),
        (proof_table, [{key: PROOF[key] for key in PROOF if key != "n"}]),
        (certify_table, {"schema": "certlip/certify/1"}),
        (certify_table, {}),
    ],
)
def test_missing_fields(make: Any, value: Any) -> None:
    with pytest.raises(InputError, match="results: no field"):
        make(value)
