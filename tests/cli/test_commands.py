"""The commands on real input: what they write, what they say, how they exit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import jsonschema
import pytest

from certlip.blocks import load
from certlip.report import load_schema


def test_certify_writes_what_it_says(certlip, story, tmp_path):
    result = certlip(
        *("certify", story / "sll" / "model.pt", "--dataset", "digits", "--limit", 40),
        *(
            "--eps",
            "0.1,36/255",
            "--report",
            tmp_path / "r",
            "--certificate",
            tmp_path / "c.certlip",
        ),
        "--json",
    )
    assert result.code == 0
    jsonschema.validate(result.document, load_schema("certify-1"))
    assert json.loads((tmp_path / "r" / "report.json").read_text()) == result.document
    rows = [json.loads(s) for s in (tmp_path / "r" / "results.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(40))
    at = sum(row["status"] == "certified" and float(row["radius_lower"]) >= 0.1 for row in rows)
    assert result.document["certified_accuracy"]["0.1"] == at / 40
    assert certlip("verify", tmp_path / "c.certlip").code == 0


def test_limit_does_not_change_a_sample(certlip, story, tmp_path):
    rows = {}
    for limit in (3, 50):
        folder = tmp_path / str(limit)
        line = ("certify", story / "lben" / "model.pt", "--dataset", "digits", "--falsify", 0)
        assert certlip(*line, "--limit", limit, "--report", folder).code == 0
        rows[limit] = (folder / "results.jsonl").read_text().splitlines()
    assert rows[3] == rows[50][:3]


@pytest.mark.parametrize("name", ["sll", "lben"])
def test_verify_accepts_the_model_and_the_data_it_is_about(certlip, story, name):
    other = {"sll": "lben", "lben": "sll"}[name]
    certificate = story / f"{name}.certlip"
    line = ("verify", certificate, "--dataset", "digits", "--limit", 60)
    accepted = certlip(*line, "--model", story / name / "model.pt", "--json")
    assert accepted.code == 0
    assert accepted.document["accepted"] is True
    assert certlip(*line, "--model", story / other / "model.pt").code == 1
    rejected = certlip("verify", certificate, "--dataset", "digits", "--limit", 59)
    assert rejected.code == 1
    assert re.search(
        r"data_sha256: is (\w{64}), listed is '\1', given is (?!\1)\w{64}", rejected.err
    )
    assert certlip("verify", certificate, "--dataset", "digits", "--split", "train").code == 1


def test_the_checker_runs_alone(story):
    done = subprocess.run(
        [sys.executable, "-m", "certlip.checker", str(story / "lben.certlip")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "accepted" in done.stdout


@pytest.mark.parametrize("name", ["sll", "lben"])
def test_check_lmi_document(certlip, story, name):
    result = certlip("check-lmi", story / name / "model.pt", "--condition", "3,4,10", "--json")
    assert result.code == 0
    jsonschema.validate(result.document, load_schema("check-lmi-1"))
    assert float(result.document["lipschitz_upper"]) <= 1 + 1e-6
    assert all(row["outcome"] == "proven" for row in result.document["blocks"])


def test_check_lmi_refutes_an_l_that_is_too_small(certlip, story):
    result = certlip("check-lmi", story / "lben" / "model.pt", "--lipschitz", "0.5", "--json")
    assert result.code == 1
    jsonschema.validate(result.document, load_schema("check-lmi-1"))
    row = next(r for r in result.document["blocks"] if r["condition"] == "10")
    assert row["outcome"] == "refuted"
    assert row["lipschitz_upper"] is None
    assert result.document["lipschitz_upper"] is None


def test_inspect_names_blocks_and_history(certlip, story):
    result = certlip("inspect", story / "lben" / "model.pt", "--json")
    assert result.code == 0
    [block] = result.document["model"]["blocks"]
    assert block["kind"] == "equilibrium"
    assert block["family"] == "lben"
    assert [entry["step"] for entry in result.document["history"]] == ["train", "finetune"]
    assert "finetune" in certlip("inspect", story / "lben" / "model.pt").err


def test_doctor_reports(certlip, tmp_path):
    result = certlip("doctor", "--json", "--data-dir", tmp_path)
    assert result.code == 0
    assert result.document["datasets"]["digits"] == "360 test samples"
    assert "not found" in result.document["datasets"]["mnist"]
    assert set(result.document["solvers"]) == {"cvxpy", "clarabel", "scs", "mosek"}


def test_data_list_says_what_is_there_and_what_is_missing(certlip, tmp_path):
    result = certlip("data", "list", "--json", "--data-dir", tmp_path)
    assert result.code == 0
    found = {entry["name"]: entry for entry in result.document["datasets"]}
    assert found["digits"]["test"] == {"n": 360, "shape": [1, 8, 8], "classes": 10}
    assert found["digits"]["splits"] == ["train", "validation", "test", "all"]
    assert found["mnist"]["test"] is None
    assert "not found" in found["mnist"]["test_reason"]
    assert "360 test samples" in result.err
    assert found["npz:PATH"]["test_reason"] == "give the path as npz:PATH"
    refused = certlip("data", "remove")
    assert refused.code == 2
    assert "'remove': expected list" in refused.err


def test_train_lists_recipes(certlip):
    result = certlip("train", "--list", "--json")
    assert result.code == 0
    assert "digits-quick" in result.document["recipes"]


def test_a_run_is_not_overwritten(certlip, story):
    line = ("train", "--dataset", "digits", "--epochs", 12, "--out", story / "sll")
    before = (story / "sll" / "model.pt").read_bytes()
    result = certlip(*line)
    assert result.code == 2
    assert "--resume" in result.err
    assert (story / "sll" / "model.pt").read_bytes() == before
    assert certlip(*line, "--resume", "-q").code == 0
    assert (story / "sll" / "model.pt").read_bytes() == before


def test_safetensors_is_a_model_file_like_any_other(certlip, story, tmp_path):
    from certlip.blocks import save

    save(load(story / "lben" / "model.pt"), tmp_path / "m.safetensors")
    line = ("--dataset", "digits", "--limit", 20, "--falsify", 0, "--json")
    a = certlip("certify", tmp_path / "m.safetensors", *line).document
    b = certlip("certify", story / "lben" / "model.pt", *line).document
    assert a["model"]["sha256"] == b["model"]["sha256"]
    assert a["certified_accuracy"] == b["certified_accuracy"]


def test_one_document_on_stdout_and_nothing_else(certlip, story):
    model = story / "sll" / "model.pt"
    for line in (("inspect", model), ("check-lmi", model), ("doctor",)):
        assert certlip(*line).out == ""
        json.loads(certlip(*line, "--json").out)
        assert certlip(*line, "-q").err == ""


def test_every_document_says_what_made_it(certlip, story, tmp_path):
    model, proof = story / "sll" / "model.pt", story / "sll.certlip"
    tuned = ("finetune", model, "--epochs", 1, "--limit", 30, "--out", tmp_path / "lben")
    for line in (("inspect", model), ("check-lmi", model), ("doctor",), ("verify", proof), tuned):
        document = certlip(*line, "--json", "--seed", 3, "--device", "cpu").document
        assert document["schema"].startswith("certlip/")
        assert document["certlip"]
        assert document["settings"].items() >= {"seed": 3, "device": "cpu"}.items()


SHELL = {
    "a reader that left": ("certlip {} --json -q | true; exit ${{PIPESTATUS[0]}}", 0),
    "a reader of stderr that left": (
        "certlip {} 2>&1 >/dev/null | true; exit ${{PIPESTATUS[0]}}",
        0,
    ),
    "a full disk": ("certlip {} --json -q > /dev/full", 2),
    "no stdout": ("certlip {} --json -q >&-", 2),
    "no stderr": ("certlip {} 2>&-", 0),
    "an error and no stderr": ("certlip {} --device tpu 2>&-", 2),
}


@pytest.mark.parametrize("name", SHELL)
def test_where_the_output_goes_does_not_change_what_is_said(name, story):
    line, code = SHELL[name]
    certlip = f"{sys.executable} -m certlip_cli.main"
    done = subprocess.run(
        [
            "bash",
            "-c",
            line.format(f"inspect {story / 'lben' / 'model.pt'}").replace("certlip", certlip, 1),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == (1 if code and "2>&-" not in line else 0), done.stderr


def test_no_command_shows_the_help(certlip):
    result = certlip()
    assert result.code == 2
    assert result.out == ""
    assert len(result.err.splitlines()) > 10


def test_verify_obeys_threads(certlip, story):
    from threadpoolctl import threadpool_info, threadpool_limits

    with threadpool_limits():  # sets back afterwards what the command changes
        assert certlip("verify", story / "sll.certlip", "--threads", 1).code == 0
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}


def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    certlip, story, tmp_path, monkeypatch
):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "jinja2" else find(name, *a)
    )
    monkeypatch.chdir(tmp_path)
    line = ("certify", story / "sll" / "model.pt", "--dataset", "digits", "--report", "r")
    for command in (line, ("demo",)):
        result = certlip(*command)
        assert result.code == 2
        assert "jinja2 is not installed" in result.err
    assert list(tmp_path.iterdir()) == []


def test_version_and_help(certlip):
    assert certlip("--version").out.startswith("certlip 0.")
    for command in ("certify", "train", "check-lmi", "verify"):
        result = certlip(command, "--help")
        assert result.code == 0
        assert "--json" in result.out


def test_help_is_fast_enough_to_need_no_torch():
    code = "import sys, certlip_cli.main as m; m.run(['--help']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_interrupt_keeps_what_was_done(certlip, tmp_path, monkeypatch):
    from certlip.training import loop

    original = loop._epoch

    def interrupted(job, stepper, state, *others):
        if state.epoch == 11:
            raise KeyboardInterrupt
        return original(job, stepper, state, *others)

    line = ("train", "--dataset", "digits", "--epochs", 20, "--limit", 200, "--out", tmp_path)
    monkeypatch.setattr(loop, "_epoch", interrupted)
    result = certlip(*line)
    assert result.code == 130
    assert "--resume" in result.err
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 10
    monkeypatch.setattr(loop, "_epoch", original)
    assert certlip(*line, "--resume").code == 0
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("line", "goes_on"),
    [(("inspect", "m.pt"), False), (("demo",), False), (("train", "--list"), True)],
)
def test_only_what_can_go_on_says_so(certlip, monkeypatch, line, goes_on, tmp_path):
    from certlip_cli import main, session

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session.Session, "prepare_torch", interrupted)
    monkeypatch.setattr(session.Session, "say", interrupted)
    assert main.run([]) == 2
    result = certlip(*line)
    assert result.code == 130
    assert result.err.startswith("certlip: interrupted")
    assert ("--resume" in result.err) is goes_on


def test_an_exit_of_others_is_no_success(certlip, monkeypatch):
    from certlip_cli import session

    def leaves(*_, **__):
        raise SystemExit(0)

    monkeypatch.setattr(session.Session, "prepare_torch", leaves)
    result = certlip("inspect", "m.pt")
    assert result.code == 4
    assert len(result.err.splitlines()) == 1


def test_the_training_split_can_be_chosen(certlip, tmp_path):
    line = ("train", "--dataset", "digits", "--epochs", 1, "--limit", 60, "-q")
    assert certlip(*line, "--split", "all", "--out", tmp_path / "all").code == 0
    assert certlip(*line, "--out", tmp_path / "train").code == 0
    hashes = {load(tmp_path / n / "model.pt").history[0]["data_sha256"] for n in ("all", "train")}
    assert len(hashes) == 2
    assert certlip(*line, "--split", "none", "--out", tmp_path / "none").code == 2
