"""JUnit, SARIF, Markdown and annotations: valid, in agreement, and broken by no name."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import jsonschema
import pytest
from documents import make_document, make_samples
from hypothesis import given
from hypothesis import strategies as st
from standards import SARIF, junit

from certlip.errors import InputError
from certlip.report import FORMATS, load_schema
from certlip.report.cases import Outcome, cases, holds
from certlip.report.markdown import MOST, escape
from certlip.report.plain import line, relative_uri

GATE = "certified_accuracy@36/255 >= 0.55"
MET = {"expr": GATE, "actual": 0.93, "passed": True, "undecided": False}
UNMET = MET | {"actual": 0.5, "passed": False}
SAVED = UNMET | {"undecided": True}
BROKEN = {"attacked": 100, "steps": 50, "restarts": 2, "broken": 1}
# What changes of a whole run; then the outcomes of its cases.
RUNS: dict[str, tuple[dict[str, Any], str]] = {
    "passing": ({"gates": [MET], "exit_code": 0}, "met, met"),
    "no gates": ({"gates": [], "exit_code": 0}, "met"),
    "no falsifier": ({"gates": [MET], "exit_code": 0, "falsifier": None}, "met, met"),
    "failing": ({"gates": [MET, UNMET], "exit_code": 1}, "met, met, not met"),
    "inconclusive": ({"gates": [MET, SAVED], "exit_code": 3}, "met, met, undecided"),
    "mixed": ({"gates": [SAVED, UNMET], "exit_code": 1}, "met, undecided, not met"),
    "interrupted": (
        {"gates": [MET, UNMET], "status": "interrupted", "exit_code": 130},
        "undecided, undecided, undecided",
    ),
    "unsound": (
        {"gates": [MET, UNMET], "falsifier": BROKEN, "exit_code": 5},
        "unsound, undecided, not met",
    ),
    "unexplained": ({"gates": [MET], "exit_code": 1}, "not met, undecided"),
    "crashed": ({"gates": [MET], "exit_code": 4}, "error, undecided"),
}
CI = ("junit", "sarif", "md", "github")
EVIL = (
    "\"]]></failure><a b='&amp;'>|`*_[x](javascript:1)\r\n::error file=a,line=1::%0A%25\x00\x1b[31m"
    "\ud800\ufffe\u202e\u2028<script>{0}\\"
)


def run_of(name: str) -> dict[str, Any]:
    if name == "empty":
        return make_document([]) | {"gates": [MET], "exit_code": 3}
    return make_document(make_samples(60, 0, 0.11)) | RUNS[name][0]


def outcomes(document: dict[str, Any]) -> str:
    return ", ".join(case.outcome.value for case in cases(document))


def render(name: str, document: dict[str, Any]) -> str:
    return FORMATS[name].render(document, [])


def check(name: str, text: str) -> Any:
    """Parse a format and check its rules; what is returned depends on the format."""
    assert text.endswith("\n")
    text.encode("utf-8")
    if name == "junit":
        return junit(text)
    if name == "sarif":
        log = json.loads(text)
        jsonschema.validate(log, SARIF)
        [run] = log["runs"]
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
        return log
    lines = text.splitlines()
    assert not any(character in text for character in "\x00\x1b\u202e\u2028")
    if name == "github":
        command = re.compile(r"::(notice|warning|error) title=certlip%3A [a-z ]+::[^\n]+")
        assert all(command.fullmatch(row) for row in lines)
        return lines
    width = 0  # of the table that a row is in
    for row in lines:
        bars = len(re.findall(r"(?<!\\)(?:\\\\)*\|", row))
        width = (width or bars) if bars else 0
        assert bars == width, row
    return lines


@pytest.mark.parametrize("run", RUNS)
def test_outcomes(run: str) -> None:
    document = run_of(run)
    assert outcomes(document) == RUNS[run][1]
    assert holds(cases(document)) == (document["exit_code"] == 0)
    jsonschema.validate(json.loads(render("json", document)), load_schema("certify-1"))


def test_no_samples_never_pass() -> None:
    assert outcomes(run_of("empty")) == "undecided, undecided"
    assert cases(run_of("empty"))[0].message.startswith("there were no samples")


@pytest.mark.parametrize(
    "changes", [{"status": "interrupted", "exit_code": 1}, {"status": "done", "exit_code": 130}]
)
def test_interrupted_by_either_word(changes: dict[str, Any]) -> None:
    document = run_of("failing") | changes
    assert cases(document)[0].message.startswith("interrupted")
    [run] = json.loads(render("sarif", document))["runs"]
    assert run["invocations"][0]["executionSuccessful"] is False


@pytest.mark.parametrize("run", [*RUNS, "empty"])
@pytest.mark.parametrize("name", CI)
def test_every_format_shows_the_same_cases(name: str, run: str) -> None:
    document = run_of(run)
    found = cases(document)
    bad = [case for case in found if case.outcome is not Outcome.MET]
    parsed = check(name, render(name, document))
    if name == "junit":
        shown = [case.attrib["name"] for case in parsed.iter("testcase")]
        assert shown == [case.name for case in found]
        kinds = {c.attrib["name"]: [e.tag for e in c] for c in parsed.iter("testcase")}
        assert kinds["certification"] == ([] if found[0].outcome is Outcome.MET else ["error"]) or (
            kinds["certification"] == ["failure"] and found[0].outcome is Outcome.NOT_MET
        )
        said = [
            element.attrib["message"]
            for kind in ("failure", "error")
            for element in parsed.iter(kind)
        ]
        assert sorted(said) == sorted(f"{case.name}: {case.message}" for case in bad)
    elif name == "sarif":
        [only] = parsed["runs"]
        assert len(only["results"]) == len(bad)
        assert only["invocations"][0]["exitCode"] == document["exit_code"]
        done = only["invocations"][0]["executionSuccessful"]
        assert done == (run not in ("interrupted", "crashed"))
        levels = ["warning" if c.outcome is Outcome.UNDECIDED else "error" for c in bad]
        assert [result["level"] for result in only["results"]] == levels
    elif name == "github":
        words = {"met": "notice", "undecided": "warning"}
        commands = [row.split("::")[1].split(" ")[0] for row in parsed]
        assert commands == [words.get(case.outcome.value, "error") for case in found]
    else:
        order = ("unsound", "error", "not met", "undecided", "met")
        worst = min((case.outcome.value for case in found), key=order.index)
        assert parsed[0] == f"## certlip: {'holds' if worst == 'met' else worst}"
        rows = [row for row in parsed if row.startswith("| ")]
        assert sum(escape(case.message) in row for row in rows for case in found) >= len(found)


def test_a_falsified_sample_is_unsound_without_the_falsifiers_word() -> None:
    document = run_of("passing") | {"falsifier": None, "exit_code": 5}
    document["counts"]["falsified"] = 1
    assert outcomes(document) == "unsound, undecided"
    with pytest.raises(InputError, match="exit_code is 1 and certification is unsound"):
        cases(document | {"exit_code": 1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gates": [UNMET], "exit_code": 0}, r"exit_code is 0 and certified_acc.* is not met"),
        ({"gates": [SAVED], "exit_code": 0}, "exit_code is 0 and .* is undecided"),
        ({"status": "interrupted", "exit_code": 0}, "exit_code is 0 and certification"),
        ({"falsifier": BROKEN, "exit_code": 1}, "exit_code is 1 and certification is unsound"),
        ({"exit_code": 77}, "exit_code is 77; expected 0, 1, 3, 5"),
        ({"gates": [{"expr": "x", "passed": True}]}, "no field 'actual'"),
        ({"gates": [{"expr": 1, "passed": True, "actual": 1}]}, "expected expr, a text"),
        ({"gates": [MET | {"passed": 1}]}, "passed, true or false"),
        ({"gates": [MET | {"actual": []}]}, "where a number was expected"),
        ({"falsifier": BROKEN | {"broken": -1}}, "falsifier has -1"),
        ({"falsifier": {}}, "no field 'attacked'"),
        ({"schema": "certlip/check-lmi/1"}, "schema is 'certlip/check-lmi/1'"),
    ],
)
@pytest.mark.parametrize("name", CI)
def test_what_contradicts_itself_is_refused(name: str, changes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        render(name, run_of("failing") | changes)


def test_older_documents_say_undecided_with_their_code() -> None:
    gate = {key: value for key, value in UNMET.items() if key != "undecided"}
    assert outcomes(run_of("passing") | {"gates": [gate], "exit_code": 3}) == "met, undecided"
    assert outcomes(run_of("passing") | {"gates": [gate], "exit_code": 1}) == "met, not met"


def evil_document(evil: str) -> dict[str, Any]:
    document = run_of("failing")
    document["gates"] = [UNMET | {"expr": evil, "actual": evil}]
    document["model"]["path"] = document["data"]["name"] = document["data"]["split"] = evil
    document["settings"]["norm"] = document["certlip"] = evil
    document["counts"][evil] = 1
    return document


@pytest.mark.parametrize("name", CI)
def test_hostile_names(name: str) -> None:
    document = evil_document(EVIL)
    parsed = check(name, render(name, document))
    if name == "junit":
        assert [case.attrib["name"] for case in parsed.iter("testcase")][1] == line(EVIL)
    elif name == "github":
        assert len(parsed) == 2
        assert "%250A%2525" in parsed[1]
    elif name == "sarif":
        text = parsed["runs"][0]["results"][0]["message"]["text"]
        assert r"\[x\](javascript:1)" in text
        assert "{{0}}" in text
    else:
        assert not re.search(r"(?<!\\)[<>\[`]", "\n".join(parsed))


@given(st.text(st.characters(codec=None), min_size=1, max_size=40))
def test_any_name(name: str) -> None:
    document = evil_document(name)
    for form in CI:
        check(form, render(form, document))


def test_one_line() -> None:
    assert line("a\r\n\tb\u2028c") == "a b c"
    assert line("\x1b[31m\u202e\ud800") == "\ufffd[31m\ufffd\ufffd"
    assert line(" \n") == "–"
    assert line("x" * 500) == "x" * 399 + "…"


@given(st.text())
def test_markdown_shows_what_was_written(text: str) -> None:
    """Undoing the backslashes gives the line back, and nothing that Markdown reads is left bare."""
    shown = escape(text)
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", shown) == line(text)
    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(r"\\[!-/:-@\[-`{-~]", "", shown))
    assert html.unescape(shown) == shown or "&" not in re.sub(r"\\&", "", shown)


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("runs/sll.pt", "runs/sll.pt"),
        ("./a b#c?.pt", "a%20b%23c%3F.pt"),
        ("/home/me/sll.pt", "sll.pt"),
        ("../sll.pt", "sll.pt"),
        ("a/../../sll.pt", "sll.pt"),
        ("C:\\me\\sll.pt", "sll.pt"),
        ("runs\\sll.pt", "runs/sll.pt"),
        ("package.module:factory", "package.module%3Afactory"),
        ("é.pt", "%C3%A9.pt"),
        ("/", "model"),
        ("..", "model"),
        (".", "model"),
        ("", "model"),
    ],
)
def test_relative_uri(path: str, uri: str) -> None:
    assert relative_uri(path) == uri


def test_fingerprints_are_stable_and_tell_gates_apart() -> None:
    def prints(**changes: Any) -> list[str]:
        log = json.loads(render("sarif", run_of("failing") | changes))
        return [r["partialFingerprints"]["certlipCase/v1"] for r in log["runs"][0]["results"]]

    other = UNMET | {"expr": "certified_accuracy@1 >= 0.5"}
    first, second = prints(gates=[UNMET, other])
    assert first != second
    assert prints(gates=[UNMET | {"actual": 0.4}], seconds=9.0) == [first]


def test_a_long_summary_is_cut() -> None:
    document = run_of("failing") | {"gates": [UNMET | {"expr": "x" * 9000}] * (3 * MOST)}
    text = render("md", document)
    assert len(text.encode()) < 2**20
    assert f"| {2 * MOST + 1:,} more |" in text
