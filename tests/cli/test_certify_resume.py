"""A certification that was interrupted, killed or damaged goes on and ends with the same files."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from functools import partial

import jsonschema
import numpy as np
import pytest

from certlip import data
from certlip.certification import Certifier, Falsification, Status
from certlip.report import load_schema

TIMES = ("seconds", "throughput", "throughput_reason", "timed")
N = 600
BATCH = 256


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """600 digits as a dataset: two whole batches and a part of one."""
    part = data.load("digits", split="all", limit=N)
    path = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(path, x=part.x, y=part.label)
    return f"npz:{path}"


@pytest.fixture(scope="module")
def line(story, digits):
    """`line(name, folder)`: the command line that certifies a model of the story, but for `--resume`."""

    def of(name, folder, *more):
        return (
            *("certify", story / name / "model.pt", "--dataset", digits, "--falsify", 3),
            *("--steps", 3, "--report", folder / "r", *more),
        )

    return of


def content(folder):
    """All that a run wrote, without its times."""
    files = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    document = json.loads(files.pop("report.json"))
    files["report.json"] = {k: v for k, v in document.items() if k not in TIMES}
    page = files.pop("report.html").decode()
    shown = r"Throughput</dt>.*?</div>|<tr><th scope=\"row\">Time</th>.*?</tr>"
    page, times = re.subn(shown, "", page, flags=re.DOTALL)
    assert times == 2
    files["report.html"] = page
    return files


def interrupted(monkeypatch, at, error=KeyboardInterrupt):
    """Certification raises when it comes to batch `at`."""
    original, seen = Certifier.__call__, []

    def call(self, *args, **options):
        if len(seen) == at:
            raise error
        seen.append(args)
        return original(self, *args, **options)

    monkeypatch.setattr(Certifier, "__call__", call)


@pytest.fixture(scope="module")
def uninterrupted(line, tmp_path_factory):
    """What a run of each model writes when nothing happens to it."""
    from certlip_cli.main import run

    found = {}
    for name in ("sll", "lben"):
        folder = tmp_path_factory.mktemp(name)
        what = line(name, folder, "--certificate", folder / "c.certlip", "-q")
        assert run([str(word) for word in what]) == 0
        found[name] = content(folder)
        assert set(found[name]) == {
            *("run.json", "results.jsonl", "report.json", "report.html", "c.certlip")
        }
    return found


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


def lines(change):
    def damage(folder):
        path = folder / "results.jsonl"
        rows = path.read_bytes().split(b"\n")
        change(rows)
        path.write_bytes(b"\n".join(rows))

    return damage


def without_states(folder):
    (folder / "states0.f64").unlink(missing_ok=True)


def cut_states(folder):
    path = folder / "states0.f64"
    if path.exists():
        path.write_bytes(path.read_bytes()[:-1])


DAMAGES = {
    "the last byte is missing": lines(lambda rows: rows.pop()),
    "the last line is half": lines(lambda rows: rows.__setitem__(-2, rows[-2][:20])),
    "the last batch is half": lines(lambda rows: rows.__delitem__(slice(400, None))),
    "two rows swapped": lines(lambda rows: rows.insert(3, rows.pop(300))),
    "another label": lines(lambda r: r.__setitem__(5, re.sub(rb'l": .', b'l": 7', r[5]))),
    "zeros": lines(lambda rows: rows.__setitem__(-1, bytes(100))),
    "a tail": lines(lambda rows: rows.append(b"x")),
    "nothing left": lines(lambda rows: rows.clear()),
    "no file": lambda folder: (folder / "results.jsonl").unlink(),
    "no states": without_states,
    "states without their last byte": cut_states,
}


@pytest.mark.parametrize("name", ["sll", "lben"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_certified_again(
    certlip, line, uninterrupted, tmp_path, monkeypatch, name, damage
):
    what = line(name, tmp_path, "--certificate", tmp_path / "c.certlip")
    with monkeypatch.context() as patch:
        interrupted(patch, 2)
        assert certlip(*what).code == 130
    DAMAGES[damage](tmp_path / "r")
    result = certlip(*what, "--resume", "--json")
    assert result.code == 0
    assert (N - result.document["timed"]) % BATCH == 0  # a row keeps its place in its batch
    assert content(tmp_path) == uninterrupted[name]


def test_a_full_disk_keeps_what_was_done(certlip, line, uninterrupted, tmp_path, monkeypatch):
    room = 1.5 * BATCH / N * len(uninterrupted["sll"]["results.jsonl"])

    def full(number):
        if os.fstat(number).st_size > room:
            raise OSError(28, "No space left on device")

    what = line("sll", tmp_path, "--certificate", tmp_path / "c.certlip")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = certlip(*what)
    assert result.code == 2
    [said] = result.err.strip().splitlines()
    assert "results.jsonl: cannot be written (No space left on device)" in said
    result = certlip(*what, "--resume", "--json")
    assert result.code == 0
    assert result.document["timed"] < N
    assert content(tmp_path) == uninterrupted["sll"]


def test_two_runs_do_not_write_the_same_file(certlip, line, uninterrupted, tmp_path, monkeypatch):
    pytest.importorskip("fcntl")
    from certlip.report import ResultsFile

    what = line("sll", tmp_path, "--certificate", tmp_path / "c.certlip")
    with monkeypatch.context() as patch:
        interrupted(patch, 1)
        assert certlip(*what).code == 130
    other = ResultsFile(tmp_path / "r" / "results.jsonl")
    result = certlip(*what, "--resume")
    assert result.code == 2
    assert "another process" in result.err
    other.close()
    assert certlip(*what, "--resume").code == 0
    assert content(tmp_path) == uninterrupted["sll"]


def too_small(network, lip, before_last):
    return np.full((network.classes, network.classes), 0.3)


def test_a_broken_radius_stays_broken(certlip, line, tmp_path, monkeypatch):
    """A planted bug, a kill after the attack, and an attack that finds nothing the second time."""
    from certlip import report
    from certlip.api import attacking
    from certlip.certification import certifier

    monkeypatch.setattr(certifier, "pair_bounds", too_small)
    assert certlip(*line("sll", tmp_path / "a")).code == 5
    expected = content(tmp_path / "a")
    assert b'"falsified"' in expected["results.jsonl"]

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    what = line("sll", tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr(report, "write", interrupt)
        assert certlip(*what).code == 130
    assert certlip(*what, "--resume").code == 5
    assert content(tmp_path / "b") == expected
    monkeypatch.setattr(attacking, "falsify", lambda *_, **__: Falsification(3, 3, 2, ()))
    again = certlip(*what, "--resume", "--json")
    assert again.code == 5
    assert again.document["counts"][Status.FALSIFIED] > 0


def test_a_killed_process_goes_on(line, uninterrupted, tmp_path):
    """kill -9 at random moments after the rows have begun, three times, then to the end."""
    chance = random.Random()
    what = [*line("lben", tmp_path, "--certificate", tmp_path / "c.certlip"), "-q"]
    command = [sys.executable, "-m", "certlip_cli.main", *map(str, what)]
    rows, kills = tmp_path / "r" / "results.jsonl", 0
    for _ in range(3):
        process = subprocess.Popen([*command, "--resume"])
        while process.poll() is None and not rows.exists():
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.3))
        process.kill()
        kills += process.wait() == -9
        if rows.exists():
            assert rows.read_bytes()[:100_000].count(b"\n") <= N
    assert kills
    assert subprocess.run([*command, "--resume"], check=False).returncode == 0
    found = content(tmp_path)
    threads = json.loads(uninterrupted["lben"]["run.json"])["machine"]["threads"]
    if json.loads(found["run.json"])["machine"]["threads"] == threads:
        assert found == uninterrupted["lben"]


def test_ctrl_c_of_a_real_process_keeps_the_rows(line, tmp_path):
    """A signal, wherever it lands after the first batch: 130 and a folder that goes on."""
    import signal

    # attacks that do not end before the signal comes, however late
    options = line("lben", tmp_path, "--falsify", 40, "--steps", 1_000_000)
    what = [sys.executable, "-m", "certlip_cli.main", *map(str, options)]
    # a shell may have its background jobs ignore the signal, and they hand that on
    listens = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(what, stderr=subprocess.PIPE, text=True, preexec_fn=listens)
    rows = tmp_path / "r" / "results.jsonl"
    while process.poll() is None and not (rows.exists() and rows.stat().st_size):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    try:
        said = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "--resume goes on" in said.replace("\n", " ")
    again = subprocess.Popen([*what, "--resume"], stderr=subprocess.PIPE, text=True)
    assert again.stderr is not None
    assert any("samples are certified already" in text for text in again.stderr)
    again.kill()
    again.communicate()
