"""A run of other settings, on another machine or with a damaged manifest is not gone on with."""

from __future__ import annotations

import json

import pytest
from resumed import interrupted

OTHER = {
    "model": ("lben", (), "model.sha256"),
    "limit": ("sll", ("--limit", 500), "data.n"),
    "eps": ("sll", ("--eps", "0.1"), "settings.eps"),
    "seed": ("sll", ("--seed", 1), "settings.seed"),
    "attack": ("sll", ("--steps", 4), "settings.steps"),
    "restarts": ("sll", ("--restarts", 1), "settings.restarts"),
    "gate": ("sll", ("--fail-under", "0.1=0.2"), "settings.gates"),
    "method": ("sll", ("--method", "analytic"), "settings.method"),
    "split": ("sll", ("--split", "train"), "data.split"),
    "dataset": ("sll", ("--dataset", "digits"), "data."),
    "certificate": ("sll", ("--certificate", "c.certlip"), "settings.certificate"),
}


@pytest.mark.parametrize("what", OTHER)
def test_a_run_of_other_settings_is_refused(certlip, line, tmp_path, monkeypatch, what):

    def work(*_, **__):
        raise AssertionError("proven for nothing")

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        interrupted(patch, 1)
        assert certlip(*line("sll", tmp_path)).code == 130
    before = {p: p.read_bytes() for p in (tmp_path / "r").iterdir()}
    name, options, field = OTHER[what]
    with monkeypatch.context() as patch:
        patch.setattr("certlip.api.certified.prove", work)
        result = certlip(*line(name, tmp_path), *options, "--resume")
    assert result.code == 2, result.err
    [said] = result.err.strip().splitlines()
    assert field in said
    assert "use the same options or another --report" in said
    assert {p: p.read_bytes() for p in (tmp_path / "r").iterdir()} == before


@pytest.mark.parametrize("change", ["version", "threads", "bound", "multipliers"])
def test_another_machine_or_proof_is_refused(certlip, line, tmp_path, monkeypatch, change):
    with monkeypatch.context() as patch:
        interrupted(patch, 1)
        assert certlip(*line("lben", tmp_path)).code == 130
    path = tmp_path / "r" / "run.json"
    manifest = json.loads(path.read_text())
    if change == "version":
        manifest["certlip"] = "0.0"
    elif change == "threads":
        manifest["machine"]["threads"][0] += 1
    elif change == "bound":
        manifest["proof"]["lipschitz_upper"] = "0.5"
    else:
        manifest["proof"]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    result = certlip(*line("lben", tmp_path), "--resume")
    assert result.code == 2
    [said] = result.err.strip().splitlines()
    names = {"version": "certlip", "threads": "machine.threads", "bound": "proof.lipschitz_upper"}
    assert names.get(change, "proof.sha256") in said


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff", b'{"schema": 1}', b"[" * 9999]
)
def test_a_damaged_manifest_is_refused_in_one_line(certlip, line, tmp_path, monkeypatch, text):
    with monkeypatch.context() as patch:
        interrupted(patch, 1)
        assert certlip(*line("sll", tmp_path)).code == 130
    (tmp_path / "r" / "run.json").write_bytes(text)
    result = certlip(*line("sll", tmp_path), "--resume")
    assert result.code == 2
    [said] = result.err.strip().splitlines()
    assert "run.json" in said
