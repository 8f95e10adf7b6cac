"""Training runs: resumed bit for bit, nothing unproven kept."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from small_runs import SMALL, Killed, run

from certlip import data
from certlip.blocks import load
from certlip.errors import InconclusiveError, InputError
from certlip.lmi import prove
from certlip.models import MODELS
from certlip.solvers import Evaluator
from certlip.training import Settings, finetune, train


@pytest.fixture(scope="module")
def splits():
    return {name: data.load("digits", split=name).first(150) for name in ("train", "validation")}


def weights(network):
    return [a for block in network.blocks for a in block.arrays().values()]


def test_resumed_run_ends_with_the_same_weights(splits, tmp_path):
    whole = run(splits, tmp_path / "whole")

    def kill(progress):
        if progress.epoch == 5:
            raise Killed

    with pytest.raises(Killed):
        run(splits, tmp_path / "killed", on_epoch=kill)
    assert not (tmp_path / "killed" / "model.pt").exists()
    torch.manual_seed(99)  # the state of the process must not matter
    resumed = run(splits, tmp_path / "killed", resume=True)
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(a, b)
    rows = [json.loads(s) for s in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]


def test_resume_refuses_other_settings(splits, tmp_path):
    run(splits, tmp_path)
    with pytest.raises(InputError, match="another settings"):
        run(splits, tmp_path, resume=True, settings={"lr": 0.5})


def test_resume_names_what_is_other_and_nothing_else(splits, tmp_path):
    run(splits, tmp_path)
    fewer = {**splits, "train": splits["train"].first(20)}
    with pytest.raises(InputError, match="another data; use"):
        run(fewer, tmp_path, resume=True)


def test_a_kill_before_the_last_metrics_loses_none(splits, tmp_path, monkeypatch):
    from certlip.training import loop

    write = loop.write_metrics

    def killed(folder, metrics):
        if len(metrics) == 6:
            raise Killed
        write(folder, metrics)

    monkeypatch.setattr(loop, "write_metrics", killed)
    with pytest.raises(Killed):
        run(splits, tmp_path)
    monkeypatch.setattr(loop, "write_metrics", write)
    run(splits, tmp_path, resume=True)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 6


def test_a_loss_that_is_not_finite_ends_the_run(splits, tmp_path):
    with pytest.raises(InconclusiveError, match="smaller --lr"):
        run(splits, tmp_path, settings={"lr": 1e30})
    assert not (tmp_path / "model.pt").exists()


def test_any_seed_and_read_only_data_will_do(splits, tmp_path, recwarn):
    frozen = {}
    for name, part in splits.items():
        x, label = part.x.copy(), part.label.copy()
        x.flags.writeable = label.flags.writeable = False
        frozen[name] = data.Dataset("mine", name, x, label, part.classes, part.shape)
    run(frozen, tmp_path, settings={"seed": 2**63 - 1, "epochs": 1})
    assert not recwarn.list


@pytest.mark.parametrize("content", [[1, 2], {"key": "[]"}, {"key": "{"}, 3])
def test_resume_refuses_any_other_file(splits, tmp_path, content):
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match=r"checkpoint\.pt: not a checkpoint"):
        run(splits, tmp_path, resume=True)


def test_resume_refuses_a_damaged_checkpoint(splits, tmp_path):
    run(splits, tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"checkpoint\.pt: refused"):
        run(splits, tmp_path, resume=True)


def test_seed_decides_the_weights(splits, tmp_path):
    a, b, c = (
        run(splits, tmp_path / name, settings={"seed": seed, "epochs": 1})
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert a.sha256() == b.sha256() != c.sha256()


def test_the_kept_model_is_proven_and_has_a_history(splits, tmp_path):
    network = run(splits, tmp_path)
    assert prove(load(tmp_path / "model.pt")).lip.value == 1.0
    [entry] = network.history
    assert entry["step"] == "train"
    assert entry["dataset"] == "digits"
    assert entry["settings"]["epochs"] == 6


def test_a_model_that_cannot_be_proven_is_never_kept(splits, tmp_path, monkeypatch):
    from certlip.training import validation

    def refuse(network):
        raise InconclusiveError("planted")

    monkeypatch.setattr(validation, "prove", refuse)
    with pytest.raises(InconclusiveError, match="no epoch gave a model"):
        run(splits, tmp_path)
    assert not (tmp_path / "model.pt").exists()
    assert not (tmp_path / "best.pt").exists()


def test_images_of_another_shape_are_another_run(splits, tmp_path):
    settings = Settings(epochs=1, checkpoint_every=1)
    tall = {k: dataclasses.replace(v, shape=(1, 16, 4)) for k, v in splits.items()}
    for parts in (splits, tall):
        arguments = (parts["train"], parts["validation"], settings, tmp_path)
        if parts is splits:
            train("sll-conv", SMALL["sll-conv"], *arguments)
            continue
        with pytest.raises(InputError, match="another shape; use"):
            train("sll-conv", SMALL["sll-conv"], *arguments, resume=True)


def test_unknown_family(splits, tmp_path):
    with pytest.raises(InputError, match="expected one of sll, cpl"):
        train("mlp", {}, splits["train"], splits["validation"], Settings(), tmp_path)


@pytest.mark.parametrize("family", ["sll-conv", "mondeq-conv"])
def test_a_resumed_run_on_images_ends_with_the_same_weights(family, splits, tmp_path):
    arguments = (family, SMALL[family], splits["train"], splits["validation"])
    settings = Settings(epochs=3, checkpoint_every=1)
    whole = train(*arguments, settings, tmp_path / "whole")

    def kill(progress):
        if progress.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train(*arguments, settings, tmp_path / "killed", on_epoch=kill)
    torch.manual_seed(99)
    resumed = train(*arguments, settings, tmp_path / "killed", resume=True)
    assert resumed.sha256() == whole.sha256()


def test_every_family_has_a_row():
    assert set(SMALL) == set(MODELS)


@pytest.mark.parametrize("family", SMALL)
def test_every_family_trains_is_proven_and_fine_tunes(family, splits, tmp_path):
    settings = Settings(epochs=3, checkpoint_every=1)
    arguments = (splits["train"], splits["validation"])
    network = train(family, SMALL[family], *arguments, settings, tmp_path / "origin")
    rows = [json.loads(s) for s in (tmp_path / "origin/metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert prove(network).lip.value <= 1 + 1e-6
    small = settings.with_options(epochs=1, lr=1e-4)
    tuned = finetune(network, *arguments, small, tmp_path / "lben")
    assert prove(tuned).lip.value <= 1 + 1e-6
    exact = load(tmp_path / "lben" / "reparametrized.pt")
    x = torch.from_numpy(splits["validation"].x)
    with torch.no_grad():
        assert (Evaluator(exact)(x) - Evaluator(network)(x)).abs().max() < 1e-9


def test_sizes_that_a_family_does_not_have_are_refused(splits, tmp_path):
    with pytest.raises(InputError, match="family mondeq: no size 'depth'"):
        train("mondeq", {"depth": 3}, splits["train"], splits["validation"], Settings(), tmp_path)
