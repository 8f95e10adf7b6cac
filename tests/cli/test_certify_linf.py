"""`certify --norm linf` and `--norm l2,linf`: one run, one report, the same files after interruptions."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest
import torch
from certlip_cli.main import run

from certlip.blocks import Equilibrium, Network, Sigma, load, save
from certlip.blocks.activations import ReLU
from certlip.certification import Falsification, parse_eps
from certlip.certification.attacks import load_counterexamples
from certlip.lmi import prove
from certlip.report import load_schema
from certlip.report.headline import headline
from certlip.solvers import Evaluator

TIMES = ("seconds", "throughput", "throughput_reason", "timed")
N, D = 300, 6


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model with interval bounds, one without, and samples that both classify like the first."""
    folder = tmp_path_factory.mktemp("linf")
    rng = np.random.default_rng(0)
    W = rng.standard_normal((8, 8))
    U, G, b_z = rng.standard_normal((8, D)), rng.standard_normal((3, 8)), rng.standard_normal(8)
    sigma = Sigma.of(ReLU(), 8)

    def block(W):
        arrays = [torch.from_numpy(a) for a in (W, U, G, b_z, np.zeros(3))]
        return Equilibrium(*arrays, sigma)

    boxes = Network([block(0.8 * W / np.linalg.norm(np.abs(W), 2))])
    save(boxes, folder / "boxes.pt")
    save(Network([block(4.0 * (W - W.T))]), folder / "none.pt")
    x = rng.uniform(size=(N, D))
    with torch.no_grad():
        label = Evaluator(boxes)(torch.from_numpy(x)).argmax(dim=1).numpy()
    np.savez(folder / "d.npz", x=x, y=label)
    return folder


@pytest.fixture
def certify(files):
    def run_(*options, model="boxes"):
        words = ("certify", files / f"{model}.pt", "--dataset", f"npz:{files / 'd.npz'}", "-q")
        return run([str(w) for w in (*words, "--steps", 3, *options)])

    return run_


def document(folder):
    return json.loads((folder / "report.json").read_text("utf-8"))


def rows(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text("utf-8").splitlines()]


def schema(name):
    whole = load_schema("certify-1")
    return whole if name is None else {**whole["$defs"][name], "$defs": whole["$defs"]}


def test_both_norms_in_one_report(certify, tmp_path):
    assert certify("--norm", "linf,l2", "--report", tmp_path / "b", "--eps", "0.01,0.05") == 0
    assert certify("--report", tmp_path / "l2", "--eps", "0.01,0.05") == 0
    both, l2 = document(tmp_path / "b"), document(tmp_path / "l2")
    assert both["settings"]["norm"] == "l2,linf"
    jsonschema.validate(both, schema(None))
    for key in ("certified_accuracy", "counts", "gates", "lipschitz_upper", "natural_accuracy"):
        assert both[key] == l2[key]
    assert "linf" not in l2
    for row, own in zip(rows(tmp_path / "b"), rows(tmp_path / "l2"), strict=True):
        jsonschema.validate(row, schema("sample"))
        more = {k: row.pop(k) for k in ("radius_lower_linf", "method_linf")}
        assert row == own
        assert float(more["radius_lower_linf"]) <= float(row["radius_lower"])
    part = both["linf"]
    assert part["interval"] is True
    assert part["falsifier"]["attacked"] == 16
    assert part["falsifier"]["broken"] == 0
    assert sum(part["methods"].values()) == both["counts"]["certified"]
    radii = [float(row["radius_lower_linf"]) for row in rows(tmp_path / "b")]
    for eps in parse_eps("0.01,0.05"):
        share = sum(r >= eps.upper for r in radii) / N
        assert part["certified_accuracy"][eps.text] == share
    shown = {name: value for section in headline(both) for name, value, _ in section}
    assert f"{part['methods']['interval']:,} by boxes" in shown["ℓ∞ radii"]
    assert "certified at ℓ∞ ε = 0.05" in shown
    assert "In the ℓ∞ norm" in (tmp_path / "b" / "report.html").read_text("utf-8")


def test_one_norm_alone_takes_the_place_of_l2(certify, tmp_path):
    gate = ("--fail-under", "0.01=0.999")
    assert certify("--norm", "linf", "--eps", "0.01", "--report", tmp_path, *gate) == 1
    found = document(tmp_path)
    jsonschema.validate(found, schema(None))
    assert found["certified_accuracy"] == found["linf"]["certified_accuracy"]
    assert found["falsifier"] == found["linf"]["falsifier"]
    for row in rows(tmp_path):
        assert row["radius_lower"] == row["radius_lower_linf"]
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "ℓ∞ norm</p>" in page


def test_eps_of_each_norm_unless_they_are_given(certify, tmp_path):
    assert certify("--norm", "l2,linf", "--report", tmp_path, "--falsify", 0) == 0
    found = document(tmp_path)
    assert found["settings"]["eps"] == ["36/255", "72/255", "108/255", "1"]
    assert found["linf"]["eps"] == ["1/255", "2/255", "8/255", "0.1"]
    assert found["linf"]["falsifier"] is None


def test_a_model_without_boxes_says_why(certify, tmp_path):
    assert certify("--norm", "l2,linf", "--report", tmp_path, model="none") == 0
    part = document(tmp_path)["linf"]
    assert part["interval"] is False
    assert "block 0 (equilibrium)" in part["interval_reason"]
    assert part["methods"]["interval"] == 0
    assert part["methods"]["l2"] > 0


def test_tighter_boxes_on_request(certify, tmp_path):
    plain, dual = (
        ("--norm", "linf", "--report", tmp_path / boxes, "--boxes", boxes)
        for boxes in ("interval", "dual")
    )
    assert certify(*plain) == certify(*dual) == 0
    found = document(tmp_path / "dual")
    jsonschema.validate(found, schema(None))
    assert found["settings"]["boxes"] == "dual"
    assert found["linf"]["methods"]["interval"] == 0
    assert found["linf"]["methods"]["dual"] > 0
    for better, row in zip(rows(tmp_path / "dual"), rows(tmp_path / "interval"), strict=True):
        jsonschema.validate(better, schema("sample"))
        assert float(better["radius_lower"]) >= float(row["radius_lower"]) * (1.0 - 1e-3)
    resumed = ("--norm", "linf", "--report", tmp_path / "dual", "--boxes", "interval", "--resume")
    assert certify(*resumed) == 2
    assert certify("--norm", "linf", "--boxes", "dual", model="none") == 3
    assert certify("--norm", "linf", "--boxes", "tight") == 2
    assert certify("--norm", "l2", "--boxes", "dual") == 2


def content(folder):
    found = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "report.html"}
    own = json.loads(found.pop("report.json"))
    return found, {k: v for k, v in own.items() if k not in TIMES}


def test_an_interrupted_run_goes_on_with_the_same_bytes(certify, tmp_path):
    options = ("--norm", "l2,linf", "--eps", "0.01")
    assert certify(*options, "--report", tmp_path / "whole") == 0
    assert certify(*options, "--report", tmp_path / "cut") == 0
    results = tmp_path / "cut" / "results.jsonl"
    lines = results.read_bytes().splitlines(keepends=True)
    for kept in (0, 100, 256, 299):
        results.write_bytes(b"".join(lines[:kept]))
        assert certify(*options, "--report", tmp_path / "cut", "--resume") == 0
        assert content(tmp_path / "cut") == content(tmp_path / "whole")
    for other in (("--norm", "l2", "--eps", "0.01"), ("--norm", "l2,linf", "--eps", "0.02")):
        assert certify(*other, "--report", tmp_path / "cut", "--resume") == 2


def test_a_radius_that_breaks_is_unsound(certify, files, tmp_path, monkeypatch):
    from certlip.certification import interval

    right = interval.LinfRadii.__call__

    def too_large(self, x, a, l2):
        found = right(self, x, a, l2)
        return interval.Linf(found.radius_lower * 50.0, found.method)

    monkeypatch.setattr(interval.LinfRadii, "__call__", too_large)
    options = ("--norm", "l2,linf", "--report", tmp_path, "--steps", 20)
    certificate = tmp_path / "c.certlip"
    assert certify(*options, "--certificate", certificate) == 5
    found = document(tmp_path)
    assert found["counts"]["falsified"] > 0
    assert found["linf"]["falsifier"]["broken"] > 0
    assert not certificate.exists()
    network = load(files / "boxes.pt")
    broken = load_counterexamples(tmp_path / "counterexamples.npz", network)
    assert "linf" in {c.norm for c in broken}
    proof = prove(network)
    assert all(c.holds(network, proof) for c in broken)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--norm", "l1"), 2),
        (("--norm", "linf,linf"), 2),
        (("--norm", "linf", "--semantics", "float32"), 3),
        (("--norm", "linf", "--certificate", "c.certlip"), 3),
    ],
)
def test_what_is_refused(certify, options, code, capsys):
    assert certify(*options) == code
    assert "--norm" in capsys.readouterr().err


def test_a_falsification_is_of_a_norm(certify, tmp_path, monkeypatch):
    asked = []

    def falsify(_network, _proof, x, _predicted, _radius, *, norm, **_options):
        asked.append(norm)
        return Falsification(len(x), 1, 1, ())

    monkeypatch.setattr("certlip.api.attacking.falsify", falsify)
    assert certify("--norm", "linf,l2", "--report", tmp_path) == 0
    assert asked == ["l2", "linf"]
