"""What the published formats ask for, as far as certlip uses them, written down for tests.

`junit` follows the element rules of the Jenkins schema junit-10 (xunit2), `SARIF` those of SARIF 2.1.0;
both allow only what is named here, so a misspelt or misplaced field fails.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

TEXT = {"type": "string", "minLength": 1}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


def _list(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


LEVEL = {"enum": ["none", "note", "warning", "error"]}
MESSAGE = _object("text", text=TEXT)
RULE = _object(
    "id",
    id=TEXT,
    name=TEXT,
    shortDescription=MESSAGE,
    defaultConfiguration=_object("", level=LEVEL),
)
# GitHub takes no absolute place and none outside the repository
URI = {"type": "string", "pattern": r"^(?!/)(?!.*\.\./)([A-Za-z0-9._~/-]|%[0-9A-F]{2})+$"}
LOCATION = _object(
    "physicalLocation",
    physicalLocation=_object(
        "artifactLocation",
        artifactLocation=_object("uri", uri=URI),
        region=_object("startLine", startLine={"type": "integer", "minimum": 1}),
    ),
    logicalLocations=_list(_object("", fullyQualifiedName=TEXT)),
)
RESULT = _object(
    "ruleId message locations partialFingerprints",
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": -1},
    level=LEVEL,
    message=MESSAGE,
    locations=_list(LOCATION, minItems=1),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
)
RUN = _object(
    "tool results",
    tool=_object("driver", driver=_object("name", name=TEXT, version=TEXT, rules=_list(RULE))),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    invocations=_list(
        _object(
            "executionSuccessful",
            executionSuccessful={"type": "boolean"},
            exitCode={"type": "integer"},
        )
    ),
    results=_list(RESULT, maxItems=5000),
)
SARIF = _object(
    "version runs",
    **{"$schema": {"type": "string"}},
    version={"const": "2.1.0"},
    runs=_list(RUN, minItems=1, maxItems=20),
)

JUNIT = {
    # element: required attributes, further ones, children
    "testsuites": ("", "name time tests failures errors", "testsuite"),
    "testsuite": ("name tests failures errors", "skipped time", "properties testcase"),
    "properties": ("", "", "property"),
    "property": ("name value", "", ""),
    "testcase": ("name", "classname time", "skipped error failure"),
    "failure": ("", "type message", ""),
    "error": ("", "type message", ""),
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def junit(text: str) -> ElementTree.Element:
    """Return the tree of a JUnit file after checking every element, attribute and count."""
    root = ElementTree.fromstring(text.encode("utf-8"))
    assert root.tag == "testsuites"
    for element in root.iter():
        required, more, children = (words.split() for words in JUNIT[element.tag])
        assert set(required) <= set(element.attrib) <= {*required, *more}, element.tag
        assert {child.tag for child in element} <= set(children), element.tag
        assert TIME.fullmatch(element.get("time", "0"))
        if element.tag not in ("failure", "error"):
            assert not (element.text or "").strip()
    for counted in (root, *root):
        assert int(counted.attrib["tests"]) == len(list(counted.iter("testcase")))
        assert int(counted.attrib["failures"]) == len(list(counted.iter("failure")))
        assert int(counted.attrib["errors"]) == len(list(counted.iter("error")))
    return root
