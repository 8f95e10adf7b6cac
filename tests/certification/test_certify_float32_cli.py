"""`certify --semantics float32` from the command line: documents, reports, and what is refused."""

import json

import jsonschema
import numpy as np
import pytest
import torch

from certlip.blocks import Equilibrium, Network, Sigma, save
from certlip.blocks.activations import ReLU
from certlip.data import load as load_data
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


def fitted():
    """Random features by a gentle equilibrium of ReLUs on the digits, and a readout by least squares."""
    train, rng = load_data("digits", split="train"), np.random.default_rng(0)
    W, U = rng.standard_normal((40, 40)), rng.standard_normal((40, 64)) / 8.0
    W *= 0.5 / np.linalg.norm(W, 2)
    z = np.zeros((len(train.x), 40))
    for _ in range(100):
        z = np.maximum(z @ W.T + train.x @ U.T, 0.0)
    targets = np.eye(10)[train.label]
    G = np.linalg.solve(z.T @ z + np.eye(40), z.T @ targets).T
    parts = (torch.from_numpy(np.ascontiguousarray(A)) for A in (W, U, G))
    zeros = torch.zeros(40).double(), torch.zeros(10).double()
    return Network([Equilibrium(*parts, *zeros, Sigma.of(ReLU(), 40))])


def test_a_fixed_number_of_steps_from_the_command_line(certlip, tmp_path):
    """Steps of length 0.5 that contract; too few of them cost radii."""
    model = tmp_path / "deq.pt"
    save(fitted(), model)
    lost = {}
    for steps in ("float32:30:0.5", "float32:200:0.5"):
        options = ("--semantics", steps, "--method", "structured", "--json")
        folder = tmp_path / steps.replace(":", "-")
        result = certlip(*line(model, *options, "--report", folder))
        assert result.code == 0, result.err
        jsonschema.validate(result.document, load_schema("certify-1"))
        assert result.document["settings"]["semantics"] == steps
        text = (folder / "results.jsonl").read_text().splitlines()
        lost[steps] = sum(float(json.loads(row)["radius_lower"]) for row in text)
        assert f"{steps} evaluation" in (folder / "report.html").read_text().replace("\n", " ")
    few, many = lost.values()
    assert 0.0 < few < many
    for wrong in ("float32:0", "float32:5:2", "float64:5"):
        result = certlip(*line(model, "--semantics", wrong))
        assert result.code == 2
        assert "expected" in result.err
    assert certlip(*line(model, "--semantics", "float32")).code == 3
