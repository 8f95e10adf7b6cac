"""JUnit and SARIF against the schemas that their readers publish, whatever a run came to."""

import json
from pathlib import Path

import jsonschema
import pytest
import xmlschema
from test_ci_formats import EVIL, RUNS, evil_document, render, run_of

SCHEMAS = Path(__file__).resolve().parents[1] / "schemas"
JUNIT = xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd")
SARIF = jsonschema.Draft4Validator(
    json.loads((SCHEMAS / "sarif-2.1.0-rtm.5.json").read_text("utf-8")),
    format_checker=jsonschema.FormatChecker(),
)
DOCUMENTS = {name: run_of(name) for name in (*RUNS, "empty")} | {"hostile": evil_document(EVIL)}


@pytest.mark.parametrize("run", DOCUMENTS)
def test_junit(run):
    JUNIT.validate(render("junit", DOCUMENTS[run]))


@pytest.mark.parametrize("run", DOCUMENTS)
def test_sarif(run):
    SARIF.validate(json.loads(render("sarif", DOCUMENTS[run])))


@pytest.mark.parametrize(
    "change",
    [
        ("<testcase ", "<case "),
        (' name="', ' called="'),
        ("<failure", "<failed"),
        ("</testsuite>", "<testsuites/></testsuite>"),
        ('tests="', 'test="'),
    ],
)
def test_the_junit_schema_says_something(change):
    text = render("junit", run_of("failing")).replace(*change)
    with pytest.raises((xmlschema.XMLSchemaException, SyntaxError)):
        JUNIT.validate(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.pop("version"),
        lambda log: log["runs"][0].pop("tool"),
        lambda log: log["runs"][0]["results"][0].update(level="bad"),
        lambda log: log["runs"][0]["results"][0].update(other=1),
        lambda log: log["runs"][0]["results"][0].pop("message"),
        lambda log: log["runs"][0]["invocations"][0].pop("executionSuccessful"),
    ],
)
def test_the_sarif_schema_says_something(change):
    log = json.loads(render("sarif", run_of("failing")))
    change(log)
    with pytest.raises(jsonschema.ValidationError):
        SARIF.validate(log)
