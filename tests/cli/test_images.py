"""The commands on models of images: every one from files, and what they say when it cannot be done."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import padded_nets
import pytest
import torch

from certlip import data
from certlip.blocks import Network, load, save
from certlip.models import build
from certlip.report import load_schema
from certlip.training import Settings, load_recipe, train

DIGITS = ("--dataset", "digits", "--limit", 60)
SIZES = {"channels": 3, "inner": 2, "conv_depth": 2, "pool": 2, "hidden": 6, "dense_depth": 1}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models with random weights and one that was trained, by name, as files."""
    folder = tmp_path_factory.mktemp("images")
    torch.manual_seed(0)
    zero = build("sll-conv", (1, 8, 8), 10, **SIZES, zero_padding=1).double()
    save(zero.freeze(), folder / "zero.pt")
    sorting = build("aol-conv", (1, 8, 8), 10, **_without("inner"), channels=4, maxmin=1).double()
    save(sorting.freeze(), folder / "sorting.pt")
    deq = build("mondeq-conv", (1, 8, 8), 10, channels=3, pool=2).double()
    save(deq.freeze(), folder / "deq.safetensors")
    splits = (data.load("digits", split=name, limit=60) for name in ("train", "validation"))
    train("sll-conv", SIZES, *splits, Settings(epochs=3), folder / "run")
    files = {"trained": folder / "run" / "model.pt", "zero": folder / "zero.pt"}
    return files | {"sorting": folder / "sorting.pt", "deq": folder / "deq.safetensors"}


def _without(*names):
    return {name: size for name, size in SIZES.items() if name not in (*names, "channels")}


NAMES = ["trained", "zero", "sorting", "deq"]


@pytest.mark.parametrize("name", NAMES)
def test_check_lmi_and_inspect(name, certlip, models):
    kinds = [block.kind for block in load(models[name]).blocks]
    proof = certlip("check-lmi", models[name], "--json")
    assert proof.code == 0, proof.err
    jsonschema.validate(proof.document, load_schema("check-lmi-1"))
    assert float(proof.document["lipschitz_upper"]) <= 1 + 1e-6
    assert all(row["outcome"] == "proven" for row in proof.document["blocks"])
    assert "L ≤" in proof.err
    shown = certlip("inspect", models[name], "--json")
    assert shown.code == 0
    assert [row["kind"] for row in shown.document["model"]["blocks"]] == kinds
    for kind in kinds:
        assert kind in shown.err
    families = [row.get("family") for row in shown.document["model"]["blocks"]]
    assert ("g-mondeq" in families or "mondeq" in families) is (name == "deq")


@pytest.mark.parametrize("name", NAMES)
def test_certify(name, certlip, models, tmp_path):
    line = ("certify", models[name], *DIGITS, "--falsify", 2, "--steps", 3, "--json")
    result = certlip(*line, "--report", tmp_path / "r")
    assert result.code == 0, result.err
    jsonschema.validate(result.document, load_schema("certify-1"))
    assert result.document["data"]["shape"] == [1, 8, 8]
    assert result.document["counts"]["certified"] > 0
    assert result.document["falsifier"]["broken"] == 0
    rows = (tmp_path / "r" / "results.jsonl").read_text().splitlines()
    assert len([json.loads(row) for row in rows]) == 60
    assert (tmp_path / "r" / "report.html").stat().st_size > 1000


@pytest.mark.parametrize("name", NAMES)
def test_a_certificate_of_a_model_of_images_is_verified(name, certlip, models, tmp_path):
    path = tmp_path / "c.certlip"
    done = certlip(
        "certify", models[name], *DIGITS, "--falsify", 0, "--certificate", path, "--json"
    )
    assert done.code == 0, done.err
    verified = certlip("verify", path, "--model", models[name], "--json")
    assert verified.code == 0, verified.err
    assert verified.document["certified_accuracy"] == done.document["certified_accuracy"]
    kinds = [block.kind for block in load(models[name]).blocks]
    checks = dict(verified.document["checks"])
    assert [checks.get(f"block {k}", "").split(",")[0] for k in range(len(kinds))] == kinds


def test_a_certificate_that_its_format_does_not_cover_is_refused_before_the_work(
    certlip, tmp_path, monkeypatch
):

    def work(network):
        raise AssertionError("proven for nothing")

    monkeypatch.setattr("certlip.api.certified.prove", work)
    model, path = tmp_path / "m.pt", tmp_path / "c.certlip"
    save(Network([padded_nets.padded(q=10, height=8, width=8)]), model)
    result = certlip("certify", model, *DIGITS, "--certificate", path)
    assert result.code == 3
    [line] = result.err.strip().splitlines()
    assert "no certificate can be written" in line
    assert "padded-equilibrium" in line
    assert not path.exists()


def test_finetuning_says_what_is_trained_and_what_stays(certlip, models, tmp_path):
    line = ("--dataset", "digits", "--limit", 30, "--epochs", 1, "--json")
    tuned = certlip("finetune", models["trained"], "--out", tmp_path / "a", *line)
    assert tuned.code == 0, tuned.err
    assert tuned.err.count("trained: an LBEN") == 2
    assert "stays as it is: resize, pooling\n" in tuned.err
    kinds = [block["kind"] for block in tuned.document["model"]["blocks"]]
    assert kinds == ["resize", "conv-equilibrium", "pooling", "equilibrium"]
    settings, recipe = tuned.document["history"][-1]["settings"], load_recipe("digits-sll-conv")
    assert (settings["lr"], settings["clip"]) == (recipe.finetune.lr, recipe.finetune.clip)
    zero = certlip("finetune", models["zero"], "--out", tmp_path / "b", *line)
    assert zero.code == 0, zero.err
    assert zero.err.count("trained: an LBEN") == 1
    stays = "stays as it is: resize, 2 × conv-residual with zero padding, pooling"
    assert stays in zero.err
    assert zero.document["history"][-1]["fixed"][1] == "conv-residual"
    assert certlip("check-lmi", tmp_path / "b" / "model.pt").code == 0


def test_what_no_lben_can_hold_is_refused(certlip, models, tmp_path):
    line = ("--dataset", "digits", "--limit", 30, "--out", tmp_path / "new")
    result = certlip("finetune", models["sorting"], *line)
    assert result.code == 3
    assert "needs a nonlinear block" in result.err
    assert not (tmp_path / "new" / "model.pt").exists()


def test_a_history_may_say_anything(certlip, models, tmp_path):
    strange = [{"step": "train", "family": ["sll"], "dataset": 7}, {"family": "gpt"}]
    save(Network(load(models["zero"]).blocks, strange), tmp_path / "m.pt")
    line = ("finetune", tmp_path / "m.pt", "--limit", 30, "--epochs", 1, "--out", tmp_path / "new")
    refused = certlip(*line)
    assert refused.code == 2
    assert "names no dataset" in refused.err
    assert certlip(*line, "--dataset", "digits").code == 0


def test_a_network_of_the_papers_on_small_images(certlip, tmp_path):
    line = ("train", "--family", "havens2023-sll", "--dataset", "digits", "--limit", 40)
    result = certlip(*line, "--epochs", 1, "--out", tmp_path / "run", "--json")
    assert result.code == 0, result.err
    [entry] = result.document["history"]
    assert (entry["family"], entry["architecture"]) == ("havens2023-sll", {})
    again = certlip(*line, "--epochs", 1, "--out", tmp_path / "run", "--resume", "--json")
    assert again.document["model"]["sha256"] == result.document["model"]["sha256"]
    other = ("train", "--family", "winston2020-conv", *line[3:], "--epochs", 1, "--resume")
    refused = certlip(*other, "--out", tmp_path / "run")
    assert refused.code == 2
    assert "another" in refused.err
    assert "family" in refused.err


def _npz(folder, x):
    np.savez(folder / "data.npz", x=x, y=np.arange(len(x)) % 3)
    return f"npz:{folder / 'data.npz'}"


@pytest.mark.parametrize(
    ("shape", "family", "message"),
    [
        ((64,), "sll-conv", "family sll-conv: samples of shape (64,); expected images"),
        ((1, 1, 8, 8), "lben-conv", "samples of shape (1, 1, 8, 8); expected images"),
        ((1, 6, 6), "havens2023-sll", "windows of 4 do not divide an image of 6×6 pixels"),
        ((9, 4, 4), "havens2023-sll", "to 8 channels: expected at least 9"),
        ((2, 2), "cpl-conv", "kernel of 3×3 taps"),
        ((8, 8), "sll-cnov", "did you mean 'sll-conv'"),
        ((8, 8), "winston2020-cnn", "did you mean 'winston2020-conv'"),
        ((8, 8), "resnet", "expected one of sll, cpl"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(shape, family, message, certlip, tmp_path):
    name = _npz(tmp_path, np.full((6, *shape), 0.5))
    result = certlip("train", "--family", family, "--dataset", name, "--out", tmp_path / "new")
    assert result.code == 2, result.err
    [line] = result.err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "new").exists()


def test_images_of_one_channel_need_no_channel_axis(certlip, tmp_path):
    digits = data.load("digits", limit=30)
    name = _npz(tmp_path, digits.x.reshape(-1, 8, 8))
    line = ("train", "--family", "aol-conv", "--dataset", name, "--epochs", 1)
    assert certlip(*line, "--out", tmp_path / "run").code == 0
    assert load(tmp_path / "run" / "model.pt").in_width == 64


def test_data_of_another_size_is_refused(certlip, models, tmp_path):
    name = _npz(tmp_path, np.full((3, 1, 7, 8), 0.5))
    for command in ("certify", "finetune"):
        extra = ("--out", tmp_path / "new") if command == "finetune" else ()
        result = certlip(command, models["trained"], "--dataset", name, *extra)
        assert result.code == 2
        [line] = result.err.strip().splitlines()
        assert "56" in line
        assert "64" in line


def test_no_format_of_others_takes_a_model_of_certlip(certlip, models, tmp_path):
    line = ("--from", "semimondeq", "--set", "m=20", "--out", tmp_path / "new.pt")
    result = certlip("convert", models["deq"], *line)
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1


def test_the_help_names_every_family(certlip):
    from certlip.models import MODELS, NAMED

    words = certlip("train", "--help").out.replace(",", " ").split()
    assert {*MODELS, *NAMED} <= set(words)


def test_the_list_names_every_family(certlip):
    from certlip.models import MODELS, NAMED

    result = certlip("train", "--list", "--json")
    assert result.document["families"] == list(MODELS)
    assert result.document["networks"] == list(NAMED)
    for family in (*MODELS, *NAMED):
        assert family in result.err
