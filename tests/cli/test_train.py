"""`certlip train` and `certlip finetune`: recipes, a time limit, a full disk, several processes."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys

import pytest
import torch
from forked import end, start

from certlip.blocks import load
from certlip.lmi import prove

RECIPE = """
note = "tiny"
family = "sll"
dataset = "digits"
[model]
width = 64
hidden = 8
depth = 1
[train]
epochs = 3
validate_every = 1
checkpoint_every = 1
[train.loss]
name = "multi-margin"
margin = 0.5
[finetune]
epochs = 2
lr = 1e-4
checkpoint_every = 1
[[expected]]
source = "nobody"
natural = 0.5
certified = { "36/255" = 0.25 }
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def line(recipe, tmp_path):
    return ("train", "--recipe", recipe, "--limit", 120, "--out", tmp_path / "run")


def test_a_file_of_settings_is_trained(certlip, line, tmp_path):
    result = certlip(*line, "--json")
    assert result.code == 0
    [entry] = result.document["history"]
    assert entry["settings"]["loss"] == {"name": "multi-margin", "margin": 0.5}
    assert prove(load(tmp_path / "run" / "model.pt")).lip.value <= 1.0
    table = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert table[0].startswith("epoch,loss,proven,")
    assert "certified@36/255" in table[0]
    assert len(table) == 4


def test_the_time_limit_is_inconclusive_and_resume_goes_on(certlip, line, tmp_path):
    result = certlip(*line, "--max-minutes", 1e-9)
    assert result.code == 3
    assert "the time limit is over after 0 of 3 epochs and 1 of" in result.err
    assert len(result.err.splitlines()) == 1
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    assert not (tmp_path / "run" / "model.pt").exists()
    assert certlip(*line).code == 2  # a run lies there already
    assert certlip(*line, "--resume").code == 0
    other = (*line[:-1], tmp_path / "other")
    assert certlip(*other).code == 0
    a, b = (load(tmp_path / name / "model.pt").sha256() for name in ("run", "other"))
    assert a == b


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf"])
def test_a_limit_that_is_none(certlip, line, tmp_path, minutes):
    for command in (line, ("finetune", "m.pt", "--out", tmp_path / "o")):
        result = certlip(*command, "--max-minutes", minutes)
        assert result.code == 2
        assert "--max-minutes" in result.err


def test_a_full_disk_is_one_line_and_the_checkpoint_stays(certlip, line, tmp_path, monkeypatch):
    original, full = torch.save, [False]

    def save(content, path):
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(content, path)
        full[0] = "checkpoint" in path.name

    monkeypatch.setattr(torch, "save", save)
    result = certlip(*line)
    assert result.code == 2
    assert "No space left on device" in result.err
    assert result.err.splitlines()[-1].startswith("certlip: ")
    monkeypatch.undo()
    assert certlip(*line, "--resume").code == 0
    assert [json.loads(s)["epoch"] for s in metrics(tmp_path / "run")] == [1, 2, 3]


def metrics(folder):
    return (folder / "metrics.jsonl").read_text().splitlines()


def begun_with(recipe):
    """A recipe that fine-tunes the model of another."""
    path = recipe.with_name("second.toml")
    tuning = "[finetune]\nepochs = 1\nlr = 1e-4\ncheckpoint_every = 1\n"
    path.write_text(f'note = "two"\norigin = "{recipe}"\ndataset = "digits"\n{tuning}')
    return path


def test_an_origin_may_be_trained_in_bfloat16_and_is_fine_tuned_in_full(certlip, recipe, tmp_path):
    second = begun_with(recipe)
    words = ("--limit", 40, "--epochs", 1, "--precision", "bfloat16", "--out", tmp_path / "run")
    assert certlip("train", "--recipe", second, *words).code == 0
    history = load(tmp_path / "run" / "model.pt").history
    assert [entry["settings"]["precision"] for entry in history] == ["bfloat16", "full"]


def test_a_recipe_that_begins_with_another_trains_both(certlip, recipe, tmp_path, monkeypatch):
    line = ("train", "--recipe", begun_with(recipe), "--limit", 120, "--out", tmp_path / "run")
    result = certlip(*line)
    assert result.code == 0, result.err
    assert "first its origin" in result.err
    assert "trained: an LBEN" in result.err
    origin = load(tmp_path / "run" / "origin" / "model.pt")
    tuned = load(tmp_path / "run" / "model.pt")
    assert [entry["step"] for entry in tuned.history] == ["train", "finetune"]
    assert tuned.history[0] == origin.history[0]
    again = certlip(*line, "--resume")
    assert again.code == 0
    assert "first its origin" not in again.err
    assert load(tmp_path / "run" / "model.pt").sha256() == tuned.sha256()


def test_the_list_has_figures_and_sources(certlip):
    result = certlip("train", "--list", "--json")
    found = result.document["details"]["havens2023-cifar10-lben"]
    assert found["origin"] == "havens2023-cifar10-sll"
    assert found["expected"][0]["certified"]["1"] == 0.123
    assert "Havens et al. (2023)" in found["expected"][0]["source"]


def test_the_list_has_a_recipe_for_everything_that_can_be_trained(certlip):
    from certlip.models import BOXED, MODELS, NAMED

    found = certlip("train", "--list", "--json").document
    assert (found["families"], found["networks"], found["boxed"]) == (
        *(list(MODELS), list(NAMED), list(BOXED)),
    )
    assert set(found["recipes_of"]) == {*MODELS, *NAMED, *BOXED}
    for names in found["recipes_of"].values():
        assert names
        assert set(names) <= set(found["recipes"])
    assert found["recipes_of"]["cerdeq"][0] == "mnist-cerdeq"
    assert found["recipes_of"]["winston2020-fc"] == ["digits-mondeq"]


def test_the_penalty_can_be_chosen(certlip, line, tmp_path):
    assert certlip(*line).code == 0
    model = tmp_path / "run" / "model.pt"
    tune = ("finetune", model, "--limit", 60, "--epochs", 1, "--out", tmp_path / "o")
    result = certlip(*tune, "--kernel-l1", 0.1, "--json")
    assert result.document["history"][-1]["settings"]["kernel_l1"] == 0.1
    assert certlip(*tune[:-1], tmp_path / "p", "--kernel-l1", -1).code == 2


def together(words, out):
    """Exit codes and errors of two processes with that command line."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def process(rank):
        def main():
            shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
            os.environ.update(shared | {"RANK": str(rank)})
            sys.stderr = (out / f"err{rank}").open("w")
            from certlip_cli.main import run

            code = run([str(word) for word in words])
            sys.stderr.flush()
            os._exit(code)

        return main

    codes = [end(child) for child in [start(process(rank)) for rank in range(2)]]
    return codes, [(out / f"err{rank}").read_text() for rank in range(2)]


def test_two_processes_write_one_run(line, tmp_path):
    codes, errors = together([*line, "--threads", 1], tmp_path)
    assert codes == [0, 0], errors
    assert "wrote" in errors[0]
    assert errors[1] == ""
    assert load(tmp_path / "run" / "model.pt").history[0]["step"] == "train"


def test_what_the_first_process_fails_of_is_said_once(line, tmp_path, monkeypatch):
    original = torch.save

    def save(content, path):
        if "best" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(content, path)

    monkeypatch.setattr(torch, "save", save)
    codes, errors = together([*line, "--threads", 1], tmp_path)
    assert codes[0] == 2, errors
    assert "No space left on device" in errors[0]
    # here rank 0 keeps the store, and the other may find it gone; torchrun keeps it to the end
    assert (codes[1], errors[1].strip()) in (
        (2, ""),
        (4, "certlip: another process of this run is gone"),
    )
