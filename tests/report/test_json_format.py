"""Strict JSON, and the schemas of what is written."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlip.errors import InputError
from certlip.report import FORMATS, dumps, load_schema, strict
from certlip.report.schemas import NAMES


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back_exactly(value: float) -> None:
    read = json.loads(dumps({"value": value}))["value"]
    assert math.copysign(1, read) == math.copysign(1, value)
    assert read == value


@pytest.mark.parametrize(
    ("value", "plain", "reason"),
    [
        (math.nan, None, "not a number"),
        (math.inf, None, "positive infinity"),
        (-np.inf, None, "negative infinity"),
        (np.float32("nan"), None, "not a number"),
        ([0.5, math.nan], [0.5, None], "entry 1: not a number"),
        (np.array([math.inf, 1.0]), [None, 1.0], "entry 0: positive infinity"),
    ],
)
def test_what_json_lacks_is_null_with_a_reason(value: Any, plain: Any, reason: str) -> None:
    result = json.loads(dumps({"outer": {"value": value}}), parse_constant=pytest.fail)
    assert result == {"outer": {"value": plain, "value_reason": reason}}


def test_a_reason_of_the_document_is_kept() -> None:
    document = {"value": math.nan, "value_reason": "no samples"}
    assert strict(document) == {"value": None, "value_reason": "no samples"}


def test_numpy_becomes_plain() -> None:
    document = {"a": np.int64(3), "b": np.float64(0.5), "c": np.bool_(True), "d": np.arange(2)}
    assert json.loads(dumps(document)) == {"a": 3, "b": 0.5, "c": True, "d": [0, 1]}
    assert dumps(document).count("true") == 1


def test_the_input_is_not_changed() -> None:
    document = {"value": math.nan}
    strict(document)
    assert list(document) == ["value"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({1: 2}, "key 1 is int; expected a string"),
        ({"a": {0.5: 1}}, "key 0.5 is float"),
        ({"a": object()}, "is object; expected a JSON value"),
        ({"a": {1, 2}}, "is set; expected a JSON value"),
    ],
)
def test_refusals(document: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        dumps(document)


def test_keys_are_sorted_and_indented(document) -> None:
    text = FORMATS["json"].render(document, [])
    assert list(json.loads(text)) == sorted(document)
    assert text.splitlines()[1].startswith('  "certified_accuracy"')


def test_lines(document, samples) -> None:
    samples[1]["residual"] = math.nan
    lines = FORMATS["jsonl"].render(document, samples).splitlines()
    assert len(lines) == len(samples)
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert rows[0] == samples[0]
    assert rows[1]["residual"] is None
    assert rows[1]["residual_reason"] == "not a number"


# Schemas


def check_lmi_document() -> dict[str, Any]:
    return {
        "schema": "certlip/check-lmi/1",
        "certlip": "0.1.0",
        "model": {"path": "lben.pt", "sha256": "0" * 64, "blocks": []},
        "settings": {"seed": 0, "method": ["analytic"]},
        "blocks": [
            {
                "name": "1",
                "n": 128,
                "condition": "4",
                "method": "structured",
                "solver": None,
                "lipschitz_claimed": 1.0,
                "lipschitz_upper": "1.0000000000000093",
                "slack_lower": "3.1e-9",
                "proven": True,
                "seconds": 0.12,
            }
        ],
        "lipschitz_upper": "1.0000000000000093",
        "status": "done",
        "exit_code": 0,
    }


def valid(document: Any, name: str) -> bool:
    schema = load_schema(name)
    return jsonschema.Draft202012Validator(schema).is_valid(document)


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(load_schema(name))


def test_unknown_schema() -> None:
    with pytest.raises(
        InputError, match="schema 'certify-2': expected attack-1, certificate-2, certify-1"
    ):
        load_schema("certify-2")


def test_what_is_written_fits_the_schema(document, empty_document, samples) -> None:
    for item in (document, empty_document):
        written = json.loads(FORMATS["json"].render(item, []))
        jsonschema.validate(written, load_schema("certify-1"))
    row = {"$ref": "#/$defs/sample", "$defs": load_schema("certify-1")["$defs"]}
    for line in FORMATS["jsonl"].render(document, samples).splitlines():
        jsonschema.validate(json.loads(line), row)
    jsonschema.validate(check_lmi_document(), load_schema("check-lmi-1"))


def test_nan_still_fits_the_schema(document) -> None:
    document |= {"natural_accuracy": math.nan, "throughput": math.inf, "seconds": math.nan}
    document["certified_accuracy"]["1"] = math.nan
    assert valid(json.loads(dumps(document)), "certify-1")
    assert not valid(document | {"natural_accuracy": None}, "certify-1")  # null without a reason


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "certlip/certification/2"),
        (("model", "sha256"), "abc"),
        (("lipschitz_upper",), 1.0),
        (("lipschitz_upper",), "inf"),
        (("lipschitz_upper",), "-1.0"),
        (("natural_accuracy",), 1.5),
        (("certified_accuracy", "36/255"), -0.1),
        (("certified_accuracy", "36/255"), "0.5"),
        (("certified_accuracy", "small"), 0.5),
        (("counts", "certified"), -1),
        (("data", "n"), 1.5),
        (("settings", "limit"), 0),
        (("settings", "semantics"), "float16"),
        (("status",), "ok"),
        (("exit_code",), 6),
        (("falsifier",), {"attacked": 3}),
    ],
)
def test_certify_schema_refuses(document, path: tuple[str, ...], value: Any) -> None:
    assert valid(document, "certify-1")
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not valid(changed, "certify-1")


@pytest.mark.parametrize("key", sorted(check_lmi_document()))
def test_check_lmi_schema_needs(key: str) -> None:
    document = check_lmi_document()
    del document[key]
    assert not valid(document, "check-lmi-1")


def test_proven_needs_a_bound() -> None:
    document = check_lmi_document()
    document["blocks"][0]["lipschitz_upper"] = None
    assert not valid(document, "check-lmi-1")
    document["blocks"][0]["proven"] = False
    assert valid(document, "check-lmi-1")
