"""A certification that was interrupted goes on and ends with the same files."""

from __future__ import annotations

import json

import jsonschema
import pytest
from resumed import BATCH, N, content, interrupted

from certlip.report import load_schema


@pytest.mark.parametrize("name", ["sll", "lben"])
@pytest.mark.parametrize("batches", [[0], [1], [2], [0, 1, 0, 1]])
def test_what_was_interrupted_goes_on(
    certlip, line, uninterrupted, tmp_path, monkeypatch, name, batches
):
    what = line(name, tmp_path, "--certificate", tmp_path / "c.certlip")
    done = 0
    for i, at in enumerate(batches):
        with monkeypatch.context() as patch:
            interrupted(patch, at)
            result = certlip(*what, *(["--resume"] if i else []))
        done += at
        assert result.code == 130
        assert f"{done * BATCH} of {N} samples are certified in {tmp_path / 'r'}; --resume" in (
            result.err.replace("\n", " ")
        )
        rows = (tmp_path / "r" / "results.jsonl").read_bytes()
        assert uninterrupted[name]["results.jsonl"].startswith(rows)
        assert rows.count(b"\n") == done * BATCH
        assert not (tmp_path / "r" / "report.json").exists()
    result = certlip(*what, "--resume", "--json")
    assert result.code == 0, result.err
    jsonschema.validate(result.document, load_schema("certify-1"))
    assert result.document["timed"] == N - done * BATCH
    assert json.loads((tmp_path / "r" / "report.json").read_text()) == result.document
    assert content(tmp_path) == uninterrupted[name]


def test_a_finished_run_is_not_certified_again(certlip, line, uninterrupted, tmp_path, monkeypatch):
    what = line("sll", tmp_path, "--certificate", tmp_path / "c.certlip")
    assert certlip(*what).code == 0
    with monkeypatch.context() as patch:
        interrupted(patch, 0, AssertionError)
        result = certlip(*what, "--resume", "--json")
        assert result.code == 0, result.err
    jsonschema.validate(result.document, load_schema("certify-1"))
    assert result.document["throughput"] is None
    assert "earlier run" in result.document["throughput_reason"]
    assert content(tmp_path) == uninterrupted["sll"]


@pytest.mark.parametrize("name", ["sll", "lben"])
@pytest.mark.parametrize("moment", ["attack", "certificate", "page", "document"])
def test_what_comes_after_the_last_row_is_done_again(
    certlip, line, uninterrupted, tmp_path, monkeypatch, name, moment
):
    from certlip import certificate, report
    from certlip.api import attacking

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    def only(kind):
        original = report.write
        return lambda f, *rest: interrupt() if f == kind else original(f, *rest)

    what = line(name, tmp_path, "--certificate", tmp_path / "c.certlip")
    with monkeypatch.context() as patch:
        if moment == "attack":
            patch.setattr(attacking, "falsify", interrupt)
        elif moment == "certificate":
            patch.setattr(certificate, "write_certificate", interrupt)
        else:
            patch.setattr(report, "write", only({"page": "html", "document": "json"}[moment]))
        result = certlip(*what)
    assert result.code == 130
    assert "600 of 600" in result.err
    assert certlip(*what).code == 2
    with monkeypatch.context() as patch:
        interrupted(patch, 0, AssertionError)
        assert certlip(*what, "--resume").code == 0
    assert content(tmp_path) == uninterrupted[name]


def test_resuming_where_nothing_is_starts(certlip, line, uninterrupted, tmp_path):
    what = line("sll", tmp_path, "--certificate", tmp_path / "c.certlip")
    assert certlip(*what, "--resume").code == 0
    assert content(tmp_path) == uninterrupted["sll"]


def test_resuming_needs_a_folder(certlip, story):
    result = certlip("certify", story / "sll" / "model.pt", "--dataset", "digits", "--resume")
    assert result.code == 2
    assert "--report DIR" in result.err
    assert len(result.err.splitlines()) == 1


def test_an_unfinished_run_is_not_overwritten(certlip, line, tmp_path, monkeypatch):

    def work(*_, **__):
        raise AssertionError("proven for nothing")

    with monkeypatch.context() as patch:
        interrupted(patch, 1)
        assert certlip(*line("sll", tmp_path)).code == 130
    before = {p: p.read_bytes() for p in (tmp_path / "r").iterdir()}
    monkeypatch.setattr("certlip.api.certified.prove", work)
    result = certlip(*line("sll", tmp_path))
    assert result.code == 2
    [said] = result.err.strip().splitlines()
    assert "holds a run that is not finished; use --resume" in said
    assert {p: p.read_bytes() for p in (tmp_path / "r").iterdir()} == before


def test_a_finished_run_is_replaced_and_nothing_of_it_stays(certlip, line, tmp_path, monkeypatch):
    assert certlip(*line("sll", tmp_path)).code == 0
    for name in ("counterexamples.npz", "states0.f64"):
        (tmp_path / "r" / name).write_bytes(b"old")
    with monkeypatch.context() as patch:
        interrupted(patch, 0)
        assert certlip(*line("lben", tmp_path)).code == 130
    assert {p.name for p in (tmp_path / "r").iterdir()} == {"run.json", "results.jsonl"}
    assert certlip(*line("sll", tmp_path), "--resume").code == 2
    assert certlip(*line("lben", tmp_path), "--resume").code == 0


def test_a_finished_run_that_is_damaged_is_unfinished_again(certlip, line, tmp_path, monkeypatch):
    assert certlip(*line("sll", tmp_path)).code == 0
    rows = tmp_path / "r" / "results.jsonl"
    rows.write_bytes(rows.read_bytes()[:-1])
    with monkeypatch.context() as patch:
        interrupted(patch, 0)
        assert certlip(*line("sll", tmp_path), "--resume").code == 130
    assert not (tmp_path / "r" / "report.json").exists()
    assert certlip(*line("sll", tmp_path)).code == 2


def test_a_proof_that_fails_leaves_the_old_run(certlip, line, tmp_path, monkeypatch):
    from certlip.errors import InconclusiveError

    assert certlip(*line("sll", tmp_path)).code == 0
    before = {p: p.read_bytes() for p in (tmp_path / "r").iterdir()}

    def gives_up(*_, **__):
        raise InconclusiveError("no multipliers")

    monkeypatch.setattr("certlip.api.certified.prove", gives_up)
    assert certlip(*line("sll", tmp_path)).code == 3
    assert {p: p.read_bytes() for p in (tmp_path / "r").iterdir()} == before
