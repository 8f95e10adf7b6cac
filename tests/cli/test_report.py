"""`certlip report` and annotations: the exit code is that of the run, whatever the form."""

from __future__ import annotations

import json
import shutil

import pytest

from certlip.report import FORMATS


@pytest.fixture(autouse=True)
def _no_actions(monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(story, tmp_path):
    """A copy of a finished run."""
    return shutil.copytree(story / "sll-report", tmp_path / "run")


def change(folder, **changes):
    path = folder / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


GATE = {"expr": "certified_accuracy@1 >= 0.9", "actual": 0.5, "passed": False}
CODES = {
    0: {},
    1: {"gates": [GATE]},
    3: {"gates": [GATE]},
    4: {},
    5: {},
    130: {"status": "interrupted"},
}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", FORMATS)
def test_the_format_never_changes_the_exit_code(certlip, folder, name, code):
    change(folder, exit_code=code, **CODES[code])
    result = certlip("report", folder, "--format", name)
    assert result.code == code
    assert result.out == ""
    assert certlip("report", folder, "--format", name, "--json").document["exit_code"] == code


def test_formats_are_written_beside_the_results_or_elsewhere(certlip, folder, tmp_path):
    page = (folder / "report.html").read_bytes()
    before = (folder / "report.json").read_bytes()
    out = tmp_path / "new" / "ci"
    every = "html, md,junit,sarif,json,jsonl,md"
    assert certlip("report", folder / "report.json", "--format", every, "--out", out).code == 0
    names = ["report.html", "report.json", "report.jsonl", "report.junit.xml", "report.md"]
    assert sorted(p.name for p in out.iterdir()) == [*names, "report.sarif"]
    assert (out / "report.html").read_bytes() == page  # nothing is computed again
    assert (out / "report.json").read_bytes() == before
    assert (out / "report.jsonl").read_bytes() == (folder / "results.jsonl").read_bytes()
    assert certlip("report", folder, "--format", "junit").code == 0
    assert (folder / "report.junit.xml").exists()


def test_annotations_and_summary(certlip, folder, tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    change(folder, exit_code=1, gates=[GATE])
    result = certlip("report", folder, "--format", "github", "-q")
    assert result.code == 1
    assert "\n::error title=certlip%3A not met::" in result.err
    assert summary.read_text("utf-8").startswith("before\n## certlip: not met\n")
    assert sorted(p.name for p in folder.iterdir()) == [
        "pictures.json",
        "report.html",
        "report.json",
        "results.jsonl",
        "run.json",
    ]


@pytest.mark.parametrize(("gate", "code"), [("36/255=0.1", 0), ("36/255=1", 1)])
def test_certify_annotates_in_actions_alone(certlip, story, tmp_path, monkeypatch, gate, code):
    line = ("certify", story / "sll" / "model.pt", "--dataset", "digits", "--limit", 60)
    line = (*line, "--falsify", 0, "--fail-under", gate, "--json")
    quiet = certlip(*line)
    assert "::" not in quiet.err
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    loud = certlip(*line)
    assert (quiet.code, loud.code) == (code, code)
    assert loud.document["gates"] == quiet.document["gates"]
    assert ("::error" in loud.err) == (code == 1)
    assert (tmp_path / "summary.md").read_text("utf-8").startswith("## certlip: ")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "none" / "summary.md"))
    lost = certlip(*line)
    assert lost.code == code
    assert "GITHUB_STEP_SUMMARY" in lost.err


def test_undecided_gates_say_so(certlip, tmp_path):
    import numpy as np
    import torch

    from certlip.blocks import Affine, Network, save

    # two logits that are always equal: three samples are ties, one is misclassified
    network = Network([Affine(torch.ones(2, 2, dtype=torch.float64), torch.zeros(2).double())])
    save(network, tmp_path / "tie.pt")
    np.savez(tmp_path / "data.npz", x=np.full((4, 2), 0.5), y=np.array([0, 0, 0, 1]))
    line = ("certify", tmp_path / "tie.pt", "--dataset", f"npz:{tmp_path / 'data.npz'}")
    run = tmp_path / "run"
    assert certlip(*line, "--fail-under", "0.1=0.75,0.2=0.8", "--report", run).code == 1
    gates = json.loads((run / "report.json").read_text("utf-8"))["gates"]
    assert [gate["undecided"] for gate in gates] == [True, False]
    assert certlip("report", run, "--format", "junit").code == 1
    text = (run / "report.junit.xml").read_text("utf-8")
    assert (text.count("<error "), text.count("<failure ")) == (1, 1)


def test_a_run_that_is_not_finished_gives_no_report(certlip, folder):
    (folder / "report.json").unlink()
    result = certlip("report", folder, "--format", "sarif")
    assert result.code == 2
    assert "holds a run that is not finished; expected report.json" in result.err
    assert not (folder / "report.sarif").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no field 'schema'"),
        (b'{"schema": "certlip/lipschitz/1"}', "schema is 'certlip/lipschitz/1'"),
    ],
)
def test_what_is_no_report_is_refused(certlip, tmp_path, content, message):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    result = certlip("report", path, "--format", "junit")
    assert result.code == 2
    assert f"{path}: " in result.err
    assert message in result.err
    assert list(tmp_path.iterdir()) == [path]


def test_other_refusals(certlip, folder, tmp_path):
    assert certlip("report", tmp_path / "none.json").code == 2
    result = certlip("report", folder, "--format", "junit,sarfi")
    assert result.code == 2
    assert "did you mean 'sarif'?" in result.err
    assert not (folder / "report.junit.xml").exists()
    (folder / "results.jsonl").write_text('{"index": 0}\n[]\n')
    result = certlip("report", folder, "--format", "html")
    assert result.code == 2
    assert "results.jsonl: line 2 is no sample" in result.err
    change(folder, exit_code=0, gates=[GATE])
    assert certlip("report", folder, "--format", "md").code == 2


def test_an_unsound_run_stays_unsound_if_nothing_can_be_written(certlip, folder, tmp_path):
    (tmp_path / "file").touch()
    change(folder, exit_code=5)
    line = ("report", folder, "--format", "junit", "--out", tmp_path / "file")
    assert certlip(*line).code == 5
    change(folder, exit_code=0)
    assert certlip(*line).code == 2
