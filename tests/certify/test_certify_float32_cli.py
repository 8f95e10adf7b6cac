"""`certify --semantics float32` from the command line: documents, reports, and what is refused."""

import json

import jsonschema
import pytest

from certlip.report import load_schema


def line(model, *options):
    return ("certify", model, "--dataset", "digits", "--limit", 40, "--falsify", 4, *options)


def test_the_document_says_what_it_is_about(certlip, story, tmp_path):
    rows = {}
    for semantics in ("real", "float32"):
        folder = tmp_path / semantics
        options = ("--semantics", semantics, "--report", folder, "--json")
        result = certlip(*line(story / "sll" / "model.pt", *options))
        assert result.code == 0
        jsonschema.validate(result.document, load_schema("certify-1"))
        assert result.document["settings"]["semantics"] == semantics
        text = (folder / "results.jsonl").read_text().splitlines()
        rows[semantics] = [json.loads(row) for row in text]
    page = (tmp_path / "float32" / "report.html").read_text()
    assert "float32 evaluation" in page.replace("\n", " ")
    assert "TF32" in page
    assert "TF32" not in (tmp_path / "real" / "report.html").read_text()
    total = {name: sum(float(row["radius_lower"]) for row in rows[name]) for name in rows}
    assert total["float32"] > 0.97 * total["real"] > 0.0
    for real, both in zip(rows["real"], rows["float32"], strict=True):
        assert both["predicted"] == real["predicted"]
        assert float(both["radius_lower"]) <= float(real["radius_lower"])


@pytest.mark.parametrize(
    ("model", "options", "code", "words"),
    [
        ("lben", (), 3, "solved to a tolerance"),
        ("sll", ("--certificate",), 3, "covers real only"),
    ],
)
def test_what_has_no_bound_or_no_format_is_refused(
    certlip, story, tmp_path, model, options, code, words
):
    extra = (*options, tmp_path / "c.certlip") if options else ()
    result = certlip(*line(story / model / "model.pt", "--semantics", "float32", *extra))
    assert result.code == code
    assert words in " ".join(result.err.split())
    assert list(tmp_path.iterdir()) == []
