"""The demo: the whole story on real data, with the figures it is known for."""

from __future__ import annotations

from certlip.blocks import load


def test_demo_tells_the_whole_story(certlip, tmp_path):
    result = certlip("demo", "--out", tmp_path / "demo", "--json")
    assert result.code == 0, result.err
    document = result.document
    sll, lben = document["sll"], document["lben"]
    assert sll["natural_accuracy"] >= 0.95
    assert sll["certified_accuracy"]["36/255"] >= sll["natural_accuracy"] - 0.03
    assert float(lben["lipschitz_upper"]) <= 1 + 1e-6
    assert document["reparametrization_difference"] <= 1e-10
    # by construction on the validation split; the figure is about the test split
    for eps, share in sll["certified_accuracy"].items():
        assert lben["certified_accuracy"][eps] >= share, eps
    assert sll["falsifier"]["broken"] == lben["falsifier"]["broken"] == 0
    assert "accepted" in document["checker"]
    for name in ("lben.certlip", "report/report.html", "report/results.jsonl", "sll/model.pt"):
        assert (tmp_path / "demo" / name).stat().st_size > 0
    steps = [entry["step"] for entry in load(tmp_path / "demo/lben/model.pt").history]
    assert steps == ["train", "finetune"]
    again = certlip("demo", "--out", tmp_path / "demo")
    assert again.code == 2
    assert "not empty" in again.err
