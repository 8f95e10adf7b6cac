"""The page: complete, self-contained, escaped, and equal to the document."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from certlip.errors import InputError
from certlip.report import FORMATS
from certlip.report.base import SHOWN
from certlip.report.numbers import percent
from certlip.report.plots import accuracy_plot
from certlip.report.view import build

VOID = {"meta", "link", "br", "line", "img", "hr", "input"}
render = FORMATS["html"].render


class Page(HTMLParser):
    """Collects tags, attributes and visible text, and checks that tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, key: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == key]


def test_self_contained(document, samples, before) -> None:
    text = render(document, samples, [before])
    page = Page(text)
    links = page.values("src") + page.values("href") + page.values("xlink:href")
    assert all(link.startswith(("#", "data:")) for link in links)
    outside = set(re.findall(r"https?://[^\"'\s<)]*", text))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "<script" not in text
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}


def test_ids_are_unique_and_references_resolve(document, samples, before) -> None:
    text = render(document, samples, [before])
    page = Page(text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    pointed = re.findall(r"url\(#([^)]*)\)", text)
    pointed += [link[1:] for link in page.values("xlink:href")]
    for key in ("aria-labelledby", "aria-describedby"):
        pointed += page.values(key)
    assert set(pointed) <= set(ids)


def test_accessible(document, samples, before) -> None:
    page = Page(render(document, samples, [before]))
    assert ("html", "lang", "en") in page.attributes
    assert "viewport" in page.values("name")
    images = [a for a in page.attributes if a[1:] == ("role", "img")]
    labels = [value for tag, key, value in page.attributes if (tag, key) == ("div", "aria-label")]
    assert len(images) == len(labels) == 2
    assert "SLL, before fine-tuning" in labels[0]
    assert {"col", "row"} == set(page.values("scope"))


def test_numbers_are_those_of_the_document(document, samples) -> None:
    page = Page(render(document, samples))
    for eps, value in document["certified_accuracy"].items():
        assert f"ε = {eps} {percent(value)}" in page.text
    assert page.values("value") == [str(v) for v in document["certified_accuracy"].values()]
    assert f"Natural accuracy {percent(document['natural_accuracy'])}" in page.text
    assert document["lipschitz_upper"] in page.text
    for status, count in document["counts"].items():
        assert f"{count} {status}" in page.text
    for block in document["model"]["blocks"]:
        assert all(block[key] in page.text for key in block)
    for value in (document["model"]["sha256"], document["data"]["sha256"]):
        assert value in page.text
    for gate in document["gates"]:
        assert gate["expr"] in page.text


def test_class_table(document, samples) -> None:
    table = build(document, samples, ())["classes"]
    assert [row["label"] for row in table] == list(range(10))
    assert sum(row["n"] for row in table) == len(samples)
    zero = [row for row in samples if row["label"] == 0]
    share = sum(float(r["radius_lower"]) >= 1.0 for r in zero) / len(zero)
    assert table[0]["certified"][-1] == percent(share, 1)


def test_states_what_is_proven(document, samples) -> None:
    text = Page(render(document, samples)).text
    assert "pixel values below 0 and above 1 are included" in text
    assert "real-arithmetic function that the stored numbers define" in text
    assert "Evaluation in floating point is not covered" in text
    assert "attacked 100 certified samples (50 steps, 2 restarts) and broke none" in text
    assert "Not certified does not mean not robust" in text
    document["settings"]["semantics"] = "float32"
    text = Page(render(document, samples)).text
    assert "in real arithmetic and in the float32 evaluation" in text
    assert "Evaluation in floating point is not covered" not in text
    document["falsifier"] = None
    assert "No falsifier was run" in Page(render(document, samples)).text


def test_malicious_names_are_escaped(document, samples, before) -> None:
    evil = "x/<script>alert(1)</script>\"onload='a'{{ 7*7 }}#010211"
    document["model"]["path"] = evil
    document["model"]["blocks"][0]["name"] = evil
    document["gates"][0]["expr"] = evil
    document["settings"]["seed"] = evil
    document["counts"][evil] = 1
    _, other, rows = before
    text = render(document, samples, [(evil, other, rows)])
    page = Page(text)
    assert "<script" not in text
    assert not any(key.startswith("on") for _, key, _ in page.attributes)
    assert evil in page.text
    assert "49" not in re.findall(r"\{\{ (\S+)", text)


def test_warnings(document, samples) -> None:
    def page(**changes: Any) -> str:
        return Page(render(document | changes, samples)).text

    assert page().count("UNSOUND") == 0
    broken = document["falsifier"] | {"broken": 2}
    assert "UNSOUND" in page(falsifier=broken, exit_code=5)
    assert "broke 2 of 100 certified samples" in page(falsifier=broken)
    assert "The run was interrupted" in page(status="interrupted", exit_code=130)
    other = document["certified_accuracy"] | {"1": 0.5}
    assert "At ε = 1 the document states 50.00 % certified" in page(certified_accuracy=other)
    assert "states 359 samples and 360 rows" in page(data=document["data"] | {"n": 359})


def test_zero_samples(empty_document) -> None:
    text = Page(render(empty_document, [])).text
    assert "There were no samples, so nothing is certified." in text
    assert "By class" not in text


def test_nothing_certified(document, samples) -> None:
    for row in samples:
        row |= {"status": "unknown", "radius_lower": "0.0"}
    text = render(document | {"certified_accuracy": {"0.5": 0.0}}, samples)
    assert "Histogram" not in text
    assert "0.00 %" in Page(text).text


def test_nan_is_shown_as_no_number(document, samples) -> None:
    document |= {"natural_accuracy": math.nan, "throughput": math.nan, "lipschitz_upper": None}
    document["lipschitz_upper_reason"] = "block 3 is unsupported"
    document["certified_accuracy"]["1"] = math.nan
    text = Page(render(document, samples)).text
    assert "Natural accuracy – not a number" in text
    assert "ε = 1 – not a number" in text
    assert "block 3 is unsupported" in text
    assert "nan" not in text


def test_other_data_is_named(document, samples, before) -> None:
    label, other, rows = before
    other["data"]["sha256"] = "cd" * 32
    text = Page(render(document, samples, [(label, other, rows)])).text
    assert "other data (360 samples)" in text


@pytest.mark.parametrize("path", SHOWN)
def test_missing_or_odd_field_is_named(document, samples, path) -> None:
    *parents, key = path.split(".")
    place = document
    for parent in parents:
        place = place[parent]
    place[key] = True
    with pytest.raises(InputError, match=f"results: {path} is True; expected"):
        render(document, samples)
    del place[key]
    with pytest.raises(InputError, match=f"results: no field '{path}'"):
        render(document, samples)


@pytest.mark.parametrize("count", [-1, 1.5, "3"])
def test_odd_count_is_named(document, samples, count) -> None:
    document["counts"]["unknown"] = count
    with pytest.raises(InputError, match=f"counts.unknown is {count!r}; expected 0 or more"):
        render(document, samples)


def test_incomplete_falsifier(document, samples) -> None:
    with pytest.raises(InputError, match=r"results: .*no attribute 'broken'"):
        render(document | {"falsifier": {}}, samples)


def test_other_documents_are_refused(document, samples) -> None:
    with pytest.raises(InputError, match="schema is 'certlip/check-lmi/1'; expected"):
        render(document | {"schema": "certlip/check-lmi/1"}, samples)


def test_too_many_runs(document, samples, before) -> None:
    with pytest.raises(InputError, match="compare: 6 runs; expected at most 5"):
        render(document, samples, [before] * 6)


def test_figures_follow_the_page(document, samples) -> None:
    curve = build(document, samples, ())["run"].curve
    svg = accuracy_plot([(curve, [("36/255", 0.9)])], "wide")
    assert "var(--series-1)" in svg
    colours = set(re.findall(r"#[0-9a-fA-F]{6}\b", svg))
    assert colours == set()
    assert svg == accuracy_plot([(curve, [("36/255", 0.9)])], "wide")


def test_figures_ignore_the_users_style(document, samples) -> None:
    import matplotlib as mpl

    curve = build(document, samples, ())["run"].curve
    plain = accuracy_plot([(curve, [])], "narrow")
    with mpl.rc_context({"lines.marker": "x", "axes.edgecolor": "red", "font.size": 30}):
        assert accuracy_plot([(curve, [])], "narrow") == plain
        assert mpl.rcParams["font.size"] == 30
