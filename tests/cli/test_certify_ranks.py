"""Several processes certify what one certifies, whatever happens to them on the way."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from certlip_cli.main import run

from certlip import data

N = 1500
TIMES = ("seconds", "throughput", "throughput_reason", "timed")
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": str(torch.get_num_threads()),
    "OMP_WAIT_POLICY": "PASSIVE",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


@pytest.fixture(scope="module")
def line(story, tmp_path_factory):
    """`line(name, folder)`: a command line of six batches whose gate is not met."""
    part = data.load("digits", split="all", limit=N)
    path = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(path, x=part.x, y=part.label)

    def of(name, folder):
        model = story / name / "model.pt"
        words = (
            *("certify", model, "--dataset", f"npz:{path}", "--falsify", 3, "--steps", 3),
            *("--fail-under", "1=0.99", "--report", folder / "r"),
            *("--certificate", folder / "c.certlip"),
        )
        return [str(word) for word in words]

    return of


@pytest.fixture(scope="module")
def alone(line, tmp_path_factory):
    """What one process writes."""
    found = {}
    for name in ("sll", "lben"):
        folder = tmp_path_factory.mktemp(name)
        assert run([*line(name, folder), "-q"]) == 1
        found[name] = content(folder)
    return found


def content(folder):
    """All that a run wrote, without its times."""
    files = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    files.pop("report.html")
    document = json.loads(files.pop("report.json"))
    return files | {"report.json": {k: v for k, v in document.items() if k not in TIMES}}


def launch(world, words, trouble=""):
    """Exit code, output and errors of every rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = ENVIRONMENT | {
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)},
        **({"TROUBLE": trouble} if trouble else {}),
    }
    command = [sys.executable, str(Path(__file__).with_name("ranked.py")), *words]
    processes = [
        subprocess.Popen(
            command,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        said = [process.communicate(timeout=100) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *texts) for p, texts in zip(processes, said, strict=True)]


def test_torchrun_writes_what_one_process_writes(line, alone, tmp_path):
    words = ["--nproc-per-node", "2", "-m", "certlip_cli", *line("lben", tmp_path), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", *words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)  # of rank 0, and nothing of the other
    assert document["timed"] == N
    assert document["exit_code"] == 1
    assert done.stderr.count("Lipschitz bound L") == 1
    assert content(tmp_path) == alone["lben"]


@pytest.mark.parametrize(("name", "killed"), [("sll", 0), ("lben", 1)])
def test_after_a_kill_any_number_of_processes_goes_on(line, alone, tmp_path, name, killed):
    for folder in ("one", "three"):
        (tmp_path / folder).mkdir()
    ranks = launch(2, line(name, tmp_path / "one"), f"{killed}:1:kill")
    code, _, said = ranks[1 - killed]
    assert ranks[killed][0] == -9
    assert (code, said.strip()) == (4, "certlip: another process of this run is gone")
    parts = sorted((tmp_path / "one" / "r").glob("results.part*.jsonl"))
    assert len(parts) == 2
    with parts[killed].open("ab") as torn:  # as if it had been killed while it wrote
        torn.write(parts[1 - killed].read_bytes()[:100])
    shutil.copytree(tmp_path / "one" / "r", tmp_path / "three" / "r")
    assert run([*line(name, tmp_path / "one"), "--resume", "-q"]) == 1
    assert content(tmp_path / "one") == alone[name]
    if name == "lben":
        ranks = launch(3, [*line(name, tmp_path / "three"), "--resume", "--json"])
        assert [code for code, *_ in ranks] == [1, 1, 1], ranks
        assert 0 < json.loads(ranks[0][1])["timed"] < N
        assert "samples are certified already" in ranks[0][2]
        assert ranks[1][1:] == ranks[2][1:] == ("", "")
        assert content(tmp_path / "three") == alone[name]


def test_a_rank_that_fails_ends_the_others(line, tmp_path):
    ranks = launch(2, line("sll", tmp_path), "1:0:raise")
    assert [code for code, *_ in ranks] == [4, 4]
    said = "".join(err for *_, err in ranks).strip().splitlines()
    assert said == [
        "certlip: internal error: RuntimeError: rank 1: ValueError: planted; --debug shows where"
    ]


@pytest.mark.parametrize("late", [0, 1])
def test_what_is_wrong_for_all_is_said_once(line, tmp_path, late):
    words = line("sll", tmp_path)
    at = words.index("--report")
    ranks = launch(2, [*words[:at], *words[at + 2 :]], f"{late}:0:late")
    assert [code for code, *_ in ranks] == [2, 2]
    [said] = "".join(err for *_, err in ranks).strip().splitlines()
    assert "expected --report DIR" in said
