"""Fine-tuning: the bound is kept, what is worse than the origin is not, frozen networks do not follow."""

from __future__ import annotations

import importlib
import json

import pytest
import torch
from small_runs import SMALL, Killed, run

from certlip import data
from certlip.blocks import load
from certlip.errors import InputError
from certlip.lmi import prove
from certlip.reparam import reparametrize
from certlip.solvers import Evaluator
from certlip.training import Settings, finetune, train
from certlip.training.losses.cross_entropy import CrossEntropy


@pytest.fixture(scope="module")
def splits():
    return {name: data.load("digits", split=name).first(150) for name in ("train", "validation")}


def test_finetuning_moves_parameters_but_keeps_the_bound(splits, tmp_path):
    origin = run(splits, tmp_path / "sll")
    settings = Settings(epochs=2, lr=1e-3, clip=1.0, checkpoint_every=1)
    seen = []
    finetune(
        origin,
        splits["train"],
        splits["validation"],
        settings,
        tmp_path / "lben",
        on_epoch=lambda progress: seen.append(progress.metrics),
    )
    assert all(row["proven"] for row in seen)
    assert all(float(row["lipschitz_upper"]) <= 1 + 1e-6 for row in seen)
    assert seen[0]["loss"] != seen[1]["loss"]
    tuned = load(tmp_path / "lben" / "model.pt")
    assert [entry["step"] for entry in tuned.history] == ["train", "finetune"]
    assert prove(tuned).lip.value <= 1 + 1e-6


def test_resumed_finetuning_ends_with_the_same_weights(splits, tmp_path):
    origin = run(splits, tmp_path / "sll")
    settings = Settings(epochs=3, lr=1e-3, clip=1.0, checkpoint_every=1)
    arguments = (origin, splits["train"], splits["validation"], settings)
    finetune(*arguments, tmp_path / "whole")

    def kill(progress):
        if progress.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        finetune(*arguments, tmp_path / "killed", on_epoch=kill)
    finetune(*arguments, tmp_path / "killed", resume=True)
    a, b = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["module"]
        for name in ("whole", "killed")
    )
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert load(tmp_path / "whole/model.pt").sha256() == load(tmp_path / "killed/model.pt").sha256()


def test_a_refused_resume_of_finetuning_changes_nothing(splits, tmp_path):
    settings = Settings(epochs=1, lr=1e-5, checkpoint_every=1)
    arguments = (splits["train"], splits["validation"], settings, tmp_path / "lben")
    finetune(run(splits, tmp_path / "a"), *arguments)
    before = (tmp_path / "lben" / "reparametrized.pt").read_bytes()
    other = run(splits, tmp_path / "b", settings={"seed": 1})
    with pytest.raises(InputError, match="another origin; use"):
        finetune(other, *arguments, resume=True)
    assert (tmp_path / "lben" / "reparametrized.pt").read_bytes() == before


def test_convolutions_with_zero_padding_stay_as_they_are(splits, tmp_path):
    sizes, arguments = SMALL["sll-conv"], (splits["train"], splits["validation"])
    settings, told = Settings(epochs=1, checkpoint_every=1), []
    origin = train("sll-conv", {**sizes, "zero_padding": 1}, *arguments, settings, tmp_path / "a")
    tuned = finetune(
        origin, *arguments, settings.with_options(lr=1e-3), tmp_path / "b", on_parts=told.append
    )
    assert tuned.history[-1]["fixed"] == ["resize", "conv-residual", "conv-residual", "pooling"]
    assert [block.kind for block in tuned.blocks][-1] == "equilibrium"
    [parts] = told
    assert len(parts.lbens) == 1
    for before, after in zip(origin.blocks[:4], tuned.blocks[:4], strict=True):
        for name, array in before.arrays().items():
            assert torch.equal(after.arrays()[name], array)
    state = torch.load(tmp_path / "b" / "checkpoint.pt", weights_only=True)["module"]
    moved = parts.lben.state_dict()  # the module that was trained
    assert all(torch.equal(state[f"lbens.0.{name}"], value) for name, value in moved.items())


def test_an_epoch_that_is_worse_somewhere_is_not_kept(splits, tmp_path):
    origin = run(splits, tmp_path / "sll")
    settings = Settings(
        epochs=1, lr=3e-2, clip=0.0, checkpoint_every=1, loss=CrossEntropy(offset=5.0)
    )
    tuned = finetune(origin, splits["train"], splits["validation"], settings, tmp_path / "lben")
    rows = (tmp_path / "lben" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(rows[0])["natural"] < 0.97 or tuned.history[-1]["epochs_not_worse"] == [1]
    x = torch.from_numpy(splits["validation"].x)
    if not tuned.history[-1]["epochs_not_worse"]:
        same = Evaluator(tuned)(x) - Evaluator(origin)(x)
        assert float(same.abs().max()) < 1e-6  # ε = 1e-9 is all that was changed


def test_an_epoch_is_compared_with_the_origin(splits, tmp_path, monkeypatch):
    """Not with what the origin was rebuilt as, for which less may be proven."""
    module = importlib.import_module("certlip.training.finetune")
    origin, validated, rows = run(splits, tmp_path / "sll"), module.validated, []

    def better(network, validation, radii, norm):
        rows.append(row := validated(network, validation, radii, norm))
        if network is origin:
            row["certified"] = {eps: share + 0.5 for eps, share in row["certified"].items()}
        return row

    monkeypatch.setattr(module, "validated", better)
    settings = Settings(epochs=1, lr=1e-4, checkpoint_every=1)
    tuned = finetune(origin, splits["train"], splits["validation"], settings, tmp_path / "lben")
    done = tuned.history[-1]
    assert done["epochs_not_worse"] == []
    assert done["certified_lost_at_start"] == pytest.approx(
        dict.fromkeys(rows[0]["certified"], 0.5)
    )
    x = torch.from_numpy(splits["validation"].x)
    with torch.no_grad():
        assert (Evaluator(tuned)(x) - Evaluator(origin)(x)).abs().max() < 1e-6


def test_frozen_networks_do_not_follow_training(splits, tmp_path):
    parts = reparametrize(run(splits, tmp_path))
    frozen = parts.freeze()
    before = frozen.sha256()
    with torch.no_grad():
        for parameter in parts.lben.parameters():
            parameter.add_(1.0)
    assert frozen.sha256() == before != parts.freeze().sha256()


def test_the_origin_is_measured_in_the_norm_of_the_epochs(splits, tmp_path, monkeypatch):
    module, norms = importlib.import_module("certlip.training.finetune"), []
    loop, validated = importlib.import_module("certlip.training.loop"), module.validated

    def noted(network, validation, radii, norm="l2"):
        norms.append(norm)
        return validated(network, validation, radii, norm)

    for where in (module, loop):
        monkeypatch.setattr(where, "validated", noted)
    origin = run(splits, tmp_path / "sll")
    norms.clear()
    settings = Settings(epochs=1, lr=1e-6, checkpoint_every=1, norm="linf", eps="0.01")
    finetune(origin, splits["train"], splits["validation"], settings, tmp_path / "lben")
    assert norms == ["linf"] * 3
