"""Attacks on random networks of every family: a small run of `make fuzz`, and that it would notice."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from certlip.blocks import load
from certlip.certification.attacks import load_counterexamples
from certlip.errors import InputError
from certlip.lmi import prove

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("--steps", "3", "--restarts", "1", "--seed", "2")


@pytest.fixture
def fuzz(monkeypatch, capsys):
    """The command, with few samples per round; `benchmarks` lies beside the package."""
    monkeypatch.syspath_prepend(ROOT)
    rounds = importlib.import_module("benchmarks.fuzz.rounds")
    monkeypatch.setattr(rounds, "SAMPLES", 16)
    main = importlib.import_module("benchmarks.fuzz.__main__").main

    def call(*arguments):
        code = main([str(a) for a in (*SMALL, *arguments)])
        return code, capsys.readouterr().out

    call.families = [name for name in rounds.FAMILIES if not name.startswith("digits")]
    return call


def rows(folder):
    first, *rest = (folder / "rounds.jsonl").read_text("utf-8").splitlines()
    return json.loads(first), [json.loads(row) for row in rest]


def test_no_certificate_of_any_family_is_broken(fuzz, tmp_path):
    code, out = fuzz("--families", ",".join(fuzz.families), "--round", 2, "--out", tmp_path)
    assert code == 0
    _, done = rows(tmp_path)
    assert [row["family"] for row in done] == fuzz.families
    assert sum(row["pairs"] for row in done) > 1000
    assert {row["norm"] for row in done if row["pairs"]} == {"l2"}
    assert sum(row["broken_beyond"] for row in done) > 0.3 * sum(r["tried_beyond"] for r in done)
    last = out.splitlines()[-1].split("|")
    assert last[1].strip() == "all"
    assert last[6].strip() == "0"


def test_a_run_goes_on_where_it_was(fuzz, tmp_path):
    line = ("--families", "perceptron,sll", "--out", tmp_path)
    assert fuzz("--pairs", 100, *line)[0] == 0
    settings, first = rows(tmp_path)
    assert settings == {"seed": 2, "steps": 3, "restarts": 1}
    assert [(row["family"], row["number"]) for row in first] == [("perceptron", 0), ("sll", 0)]
    assert fuzz("--pairs", 300, *line)[0] == 0
    _, second = rows(tmp_path)
    assert second[:2] == first
    assert {row["semantics"] for row in second} == {"real", "float32"}
    assert fuzz("--pairs", 300, *line)[0] == 0
    assert rows(tmp_path)[1] == second
    with pytest.raises(InputError, match=r"rounds.jsonl: a run with .*\"steps\": 3"):
        fuzz("--pairs", 300, "--steps", 4, *line)
    with pytest.raises(InputError, match="expected some of perceptron"):
        fuzz("--families", "resnet", "--out", tmp_path)


def test_a_planted_bug_is_found_kept_and_found_again(fuzz, tmp_path, monkeypatch):
    """Radii without √2: broken where bounds are tight, with a reproducer that breaks again."""
    rounds = importlib.import_module("benchmarks.fuzz.rounds")

    class WithoutRoot(rounds.Certifier):
        def __call__(self, *args):
            radii = super().__call__(*args)
            return replace(radii, radius_lower=np.sqrt(2.0) * radii.radius_lower)

    monkeypatch.setattr(rounds, "Certifier", WithoutRoot)
    line = ("--families", "perceptron", "--pairs", 10**6)
    code, out = fuzz(*line, "--out", tmp_path / "a")
    assert code == 5
    _, done = rows(tmp_path / "a")
    number = done[-1]["number"]
    assert done[-1]["broken"] > 0
    assert f"--families perceptron --round {number} --seed 2 --steps 3 --restarts 1" in out
    again = ("--families", "perceptron", "--round", number, "--out", tmp_path / "b")
    assert fuzz(*again)[0] == 5
    kept = tmp_path / "a" / f"broken-perceptron-{number}"
    network = load(kept / "model.pt")
    found = load_counterexamples(kept / "counterexamples.npz", network)
    assert len(found) == done[-1]["broken"]
    assert all(c.holds(network, prove(network)) for c in found)


def test_an_error_says_which_round_it_was(fuzz, tmp_path, monkeypatch):
    rounds = importlib.import_module("benchmarks.fuzz.rounds")

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(rounds, "prove", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        fuzz("--families", "sll", "--round", 7, "--out", tmp_path)
    assert "--families sll --round 7 --seed 2" in caught.value.__notes__[0]
    assert rows(tmp_path)[1] == []
