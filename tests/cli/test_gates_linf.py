"""Gates on certified accuracy in the ℓ∞ norm, beside those of ℓ2 and alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from certlip_cli.main import run

from certlip.blocks import Activation, Affine, Network, Sigma, save
from certlip.blocks.activations import ReLU
from certlip.certification import interval
from certlip.solvers import Evaluator

N, D = 60, 4


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gates")
    rng = np.random.default_rng(0)
    W, V = (torch.from_numpy(rng.standard_normal(shape)) for shape in ((6, D), (3, 6)))
    b, c = torch.from_numpy(rng.standard_normal(6)), torch.zeros(3, dtype=torch.float64)
    net = Network([Affine(W, b), Activation(Sigma.of(ReLU(), 6)), Affine(V, c)])
    save(net, folder / "m.pt")
    x = rng.uniform(size=(N, D))
    with torch.no_grad():
        label = Evaluator(net)(torch.from_numpy(x)).argmax(dim=1).numpy()
    label[0] = (label[0] + 1) % 3
    np.savez(folder / "d.npz", x=x, y=label)
    return folder


@pytest.fixture
def certify(files):
    def run_(*options):
        words = ("certify", files / "m.pt", "--dataset", f"npz:{files / 'd.npz'}", "-q")
        return run([str(w) for w in (*words, "--falsify", 0, *options)])

    return run_


def document(folder):
    return json.loads((folder / "report.json").read_text("utf-8"))


def shares(folder, eps):
    rows = [json.loads(s) for s in (folder / "results.jsonl").read_text("utf-8").splitlines()]
    found = []
    for key in ("radius_lower", "radius_lower_linf"):
        held = (row["status"] == "certified" and float(row[key]) >= eps for row in rows)
        found.append(sum(held))
    return found


@pytest.mark.parametrize("norm", ["l2,linf", "linf"])
def test_a_gate_is_about_radii_in_its_norm(certify, tmp_path, norm):
    assert certify("--norm", norm, "--eps", "0.5", "--report", tmp_path / "free") == 0
    l2, linf = shares(tmp_path / "free", 0.02)
    assert 0 < linf < N
    assert (l2 != linf) == (norm != "linf")
    for count, code in ((linf, 0), (linf + 1, 1)):
        gate = f"certified_accuracy_linf@0.02 >= {count / N:.20f}"
        folder = tmp_path / f"{count}"
        # 20 digits may lie just above the share
        gate = gate if code else f"certified_accuracy_linf@0.02 >= {count / N - 1e-9:.20f}"
        options = ("--norm", norm, "--eps", "0.5", "--report", folder, "--gates", gate)
        assert certify(*options) == code
        [found] = document(folder)["gates"]
        assert found["actual"] == linf / N
        assert found["passed"] == (code == 0)
        assert document(folder)["linf"]["eps"] == ["0.5"]


def test_a_gate_in_both_norms(certify, tmp_path):
    gates = "certified_accuracy@0.02 >= 0; certified_accuracy_linf@0.02 >= 0"
    assert certify("--norm", "l2,linf", "--gates", gates, "--report", tmp_path) == 0
    own, linf = (gate["actual"] for gate in document(tmp_path)["gates"])
    assert own != linf


def test_the_radius_of_a_gate_is_tried_as_it_is(certify, monkeypatch):
    tried = []
    right = interval.LinfRadii.__init__

    def noted(self, network, eps=(), boxes="interval"):
        tried.append({e.text for e in eps})
        right(self, network, eps, boxes)

    monkeypatch.setattr(interval.LinfRadii, "__init__", noted)
    gates = ("--gates", "certified_accuracy_linf@0.03 >= 0", "--eps", "0.5")
    assert certify("--norm", "l2,linf", *gates) == 0
    assert certify("--norm", "linf", "--fail-under", "0.04=0", *gates) == 0
    assert tried == [{"0.5", "0.03"}, {"0.5", "0.03", "0.04"}]


@pytest.mark.parametrize("gate", ["@0.1 >= 0.5", "@0.1>=0"])
def test_a_run_without_the_norm_is_refused(certify, tmp_path, capsys, gate):
    report = tmp_path / "r"
    assert certify("--gates", f"certified_accuracy_linf{gate}", "--report", report) == 2
    assert "expected --norm linf or l2,linf" in capsys.readouterr().err
    assert not report.exists()


@pytest.mark.parametrize(
    "gate", ["certified_accuracy_linf@0.1 >= 1.5", "certified_accuracy_l1@0.1 >= 0.5"]
)
def test_a_gate_of_no_known_form_is_refused(certify, gate, capsys):
    assert certify("--norm", "linf", "--gates", gate) == 2
    assert "certified_accuracy_linf@EPS" in capsys.readouterr().err


def test_stored_runs_are_judged_where_they_were_counted(certify, tmp_path, capsys):
    for name in ("old", "new"):
        options = ("--norm", "l2,linf", "--eps", "0.02", "--report", tmp_path / name)
        assert certify(*options) == 0
    assert certify("--eps", "0.02", "--report", tmp_path / "l2") == 0
    share = document(tmp_path / "new")["linf"]["certified_accuracy"]["0.02"]

    def compare(new, gate):
        return run(["compare", str(tmp_path / "old"), str(tmp_path / new), "--gates", gate])

    assert compare("new", f"certified_accuracy_linf@0.02 >= {share - 1e-9:.20f}") == 0
    assert compare("new", f"certified_accuracy_linf@0.02 >= {share + 1e-9:.20f}") == 1
    capsys.readouterr()
    for new, eps in (("new", "0.03"), ("l2", "0.02")):
        assert compare(new, f"certified_accuracy_linf@{eps} >= 0") == 2
        assert "no certified accuracy there" in capsys.readouterr().err
    damaged = document(tmp_path / "new")
    damaged["linf"]["certified_accuracy"] = [0.5]
    (tmp_path / "new" / "report.json").write_text(json.dumps(damaged), encoding="utf-8")
    assert compare("new", "natural_accuracy >= 0") == 2
    assert "linf.certified_accuracy" in capsys.readouterr().err
