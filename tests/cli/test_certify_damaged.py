"""A certification that was damaged, killed or out of room goes on and ends with the same files."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from resumed import BATCH, N, content, interrupted

from certlip.certification import Falsification, Status

PARTIAL = re.compile(r"\.(c\.certlip|report\.html|report\.json|run\.json)\.\w{8}")
"""What `files.replace_file` writes to before it renames."""


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
    # a file that was being written when the process was killed stays beside its place
    found = {k: v for k, v in content(tmp_path).items() if not PARTIAL.fullmatch(k)}
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
