"""A run that is killed at any moment and resumed ends with the weights of one that was not; a disk that is
full or a folder that cannot be written costs no more than what came after the last checkpoint.

A run changes nothing but files, each by one rename, so a kill between two of them or before any step is
every kill there is; a few real ones check that this is so.
"""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import time
from functools import partial

import pytest
import torch
from forked import end, start

from certlip import data, files
from certlip.blocks import load
from certlip.data.augment.crop import Crop
from certlip.data.augment.flip import Flip
from certlip.errors import InputError
from certlip.lmi import prove
from certlip.training import Settings, checkpoint, clock, train
from certlip.training.stepper import Stepper

ARCHITECTURE = {"width": 64, "hidden": 8, "depth": 1}
SETTINGS = Settings(
    epochs=3,
    batch_size=40,
    ema=0.7,
    clip=1.0,
    augment=(Crop(padding=1), Flip()),
    validate_every=1,
    checkpoint_every=2,
)
STEPS = 4  # of an epoch of 150 samples


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


@pytest.fixture(scope="module")
def splits():
    return [data.load("digits", split=name).first(150) for name in ("train", "validation")]


@pytest.fixture(scope="module")
def whole(splits, tmp_path_factory):
    """The folder of a run that nothing stopped."""
    out = tmp_path_factory.mktemp("whole")
    run(splits, out)
    return out


def run(splits, out, **conduct):
    return train("sll", ARCHITECTURE, *splits, SETTINGS, out, **conduct)


def same(out, other):
    """Two folders hold the same run."""
    a, b = (load(folder / "model.pt") for folder in (out, other))
    assert (a.sha256(), a.history) == (b.sha256(), b.history)
    assert rows(out) == rows(other)
    assert [p.name for p in sorted(out.iterdir()) if p.name.startswith(".")] == []


@pytest.mark.parametrize("saves", ["each epoch", "each step"])
def test_a_kill_before_any_step(splits, whole, tmp_path, monkeypatch, saves):
    if saves == "each step":
        monkeypatch.setattr(clock, "SAVE_SECONDS", 0.0)
    original = Stepper.step
    for at in range(1, 3 * STEPS):
        done = [0]

        def step(self, *arguments, at=at, done=done):
            done[0] += 1
            if done[0] > at:
                raise Killed
            return original(self, *arguments)

        out = tmp_path / str(at)
        monkeypatch.setattr(Stepper, "step", step)
        with pytest.raises(Killed):
            run(splits, out)
        torch.manual_seed(at)  # the state of the process must not matter
        monkeypatch.setattr(Stepper, "step", original)
        position = checkpoint_position(out)
        assert position == (at if saves == "each step" else 2 * STEPS * (at // (2 * STEPS)))
        run(splits, out, resume=True)
        same(out, whole)


def test_a_kill_of_a_run_that_reads_ahead(splits, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(clock, "SAVE_SECONDS", 0.0)
    original, done = Stepper.step, [0]

    def step(self, *arguments):
        done[0] += 1
        if done[0] > 6:
            raise Killed
        return original(self, *arguments)

    monkeypatch.setattr(Stepper, "step", step)
    with pytest.raises(Killed):
        run(splits, tmp_path, resident=0)
    monkeypatch.setattr(Stepper, "step", original)
    run(splits, tmp_path, resident=0, resume=True)
    same(tmp_path, whole)


def rows(out):
    """The metrics, without the times."""
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in found]


def checkpoint_position(out):
    """Steps that the checkpoint knows of."""
    path = out / checkpoint.NAME
    if not path.exists():
        return 0
    state = json.loads(torch.load(path, weights_only=True)["state"])
    return state["epoch"] * STEPS + state["step"]


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_a_kill_at_any_file(splits, whole, tmp_path, monkeypatch, when):
    original, names = files.replace_file, []

    def replace(path, write):
        count[0] += 1
        if count[0] != at:
            names.append(path.name)
            return original(path, write)
        if when == "before":
            raise Killed
        if when == "between":
            write(path.with_name(f".{path.name}.killed"))  # as a kill leaves it
            raise Killed
        original(path, write)
        raise Killed

    monkeypatch.setattr(files, "replace_file", replace)
    for at in range(1, 30):
        out, count = tmp_path / str(at), [0]
        try:
            run(splits, out)
        except Killed:
            count = [-1000]
            run(splits, out, resume=True)
            assert load(out / "model.pt").sha256() == load(whole / "model.pt").sha256()
            assert rows(out) == rows(whole)
            assert not [p.name for p in out.iterdir() if p.name.startswith(".")]
        else:
            break
    assert at > 7
    assert {"best.pt", "checkpoint.pt", "metrics.jsonl", "metrics.csv", "model.pt"} <= set(names)


def test_a_time_limit_saves_and_says_so(splits, whole, tmp_path, monkeypatch):
    limit = iter([False] * 6 + [True])
    monkeypatch.setattr(clock.Clock, "over", lambda self: next(limit))
    with pytest.raises(
        clock.TimeLimitError, match="after 1 of 3 epochs and 3 of 4 steps"
    ) as caught:
        run(splits, tmp_path, minutes=5.0)
    assert "the time limit is over after" in str(caught.value)
    assert "--resume goes on" in str(caught.value)
    assert caught.value.exit_code == 3
    assert checkpoint_position(tmp_path) == 7
    monkeypatch.undo()
    run(splits, tmp_path, resume=True)
    same(tmp_path, whole)


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EACCES, errno.EDQUOT])
def test_a_disk_that_is_full_costs_one_line_and_no_checkpoint(
    splits, whole, tmp_path, monkeypatch, reason
):
    original, written = torch.save, []

    def save(content, path):
        if "checkpoint" in path.name and written:
            path.write_bytes(b"half of it")
            raise OSError(reason, os.strerror(reason))
        written.append(path.name)
        original(content, path)

    monkeypatch.setattr(clock, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(InputError, match=r"checkpoint\.pt: cannot be written") as caught:
        run(splits, tmp_path)
    assert os.strerror(reason) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert checkpoint_position(tmp_path) == 1
    monkeypatch.undo()
    run(splits, tmp_path, resume=True)
    same(tmp_path, whole)


def test_a_folder_that_is_no_folder(splits, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        run(splits, tmp_path / "file" / "run")


def in_a_process(train_into, out, kill_after=None):
    """Trains in a process of its own, which is killed after so many seconds; how it ended."""
    child = start(lambda: train_into(out, resume=True))
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return end(child)


def kill_and_resume(train_into, folder, kills, seed):
    """Kills runs at random moments, each time resumes the same run; returns how many were killed."""
    began = time.monotonic()
    assert in_a_process(train_into, folder / "quiet") == 0
    seconds, chance, killed = time.monotonic() - began, random.Random(seed), 0
    quiet, k = load(folder / "quiet" / "model.pt"), 0
    while killed < kills:
        k, out = k + 1, folder / f"killed{k}"
        while in_a_process(train_into, out, chance.uniform(0.0, 0.6) * seconds) == -signal.SIGKILL:
            killed += 1
        assert in_a_process(train_into, out) == 0
        network = load(out / "model.pt")
        assert network.sha256() == quiet.sha256()
        assert prove(network).lip.value <= 1.0
        assert not [p.name for p in out.iterdir() if p.name.startswith(".")]
    return killed


def test_a_few_real_kills(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(clock, "SAVE_SECONDS", 0.0)
    assert kill_and_resume(partial(run, splits), tmp_path, kills=3, seed=0) >= 3


@pytest.mark.slow
def test_twenty_real_kills(splits, tmp_path):
    settings = SETTINGS.with_options(epochs=60)
    long = partial(train, "sll", ARCHITECTURE, *splits, settings)
    assert kill_and_resume(long, tmp_path, kills=20, seed=5) >= 20
