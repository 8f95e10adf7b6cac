"""Products with activations in bfloat16, and compiled modules: the constraint is that of full precision."""

from __future__ import annotations

import json

import pytest
import torch
from small_runs import SMALL, Killed, run

from certlip import data
from certlip.errors import InputError, UnsupportedError
from certlip.layers import LipschitzLayer, SandwichConv
from certlip.lmi import prove
from certlip.models import MODELS, build
from certlip.training import Settings, load_recipe, train
from certlip.training.forward import in_training
from certlip.training.losses import margin_cross_entropy

PLAIN = [name for name in SMALL if "deq" not in name and "lben" not in name]
SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def splits():
    return {name: data.load("digits", split=name).first(150) for name in ("train", "validation")}


def model_of(family):
    torch.manual_seed(1)
    return build(family, SHAPE, 10, **SMALL[family])


def flat(found):
    return list(found) if isinstance(found, tuple) else [found]


@pytest.mark.parametrize("family", PLAIN)
def test_what_weights_act_by_is_bitwise_that_of_full_precision(family, monkeypatch):
    model, made = model_of(family), []
    original = LipschitzLayer.derived

    def derived(self, compute):
        found = original(self, compute)
        made.append((found, compute))
        return found

    monkeypatch.setattr(LipschitzLayer, "derived", derived)
    for grad in (True, False):
        made.clear()
        with torch.set_grad_enabled(grad):
            in_training(model, "bfloat16")(torch.rand(5, 64))
            assert made
            for found, compute in made:
                for a, b in zip(flat(found), flat(compute()), strict=True):
                    assert a.dtype == b.dtype != torch.bfloat16
                    assert torch.equal(a, b)


@pytest.mark.parametrize("family", PLAIN)
def test_logits_gradients_and_weights_stay_in_float32(family):
    model = model_of(family)
    frozen = model.freeze().sha256()
    x, label = torch.rand(40, 64), torch.arange(40) % 10
    mixed = in_training(model, "bfloat16")
    logits = mixed(x)
    error = (logits - model(x)).abs().max() / model(x).abs().max()
    assert logits.dtype == torch.float32
    assert error < 0.05
    margin_cross_entropy(logits, label, 1.0, 0.25).backward()
    weights = list(model.parameters())
    assert {(p.dtype, p.grad.dtype) for p in weights} == {(torch.float32, torch.float32)}
    assert model.freeze().sha256() == frozen
    with torch.autocast("cpu", torch.bfloat16):
        assert model.freeze().sha256() == frozen


def test_products_are_in_bfloat16():
    for family in ("sll", "aol", "sandwich", "sll-conv"):
        model, x = model_of(family), torch.rand(40, 64)
        assert not torch.equal(in_training(model, "bfloat16")(x), model(x))
        assert in_training(model) is model


def test_bfloat16_of_a_layer_inside_goes_no_further():
    mixed = in_training(torch.nn.Linear(4, 3), "bfloat16")
    assert mixed(torch.rand(2, 4)).dtype == torch.float32  # and so the loss is in full precision
    layer, x = SandwichConv(4, 3, 4, (8, 8)), torch.rand(2, 4, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):  # there are no spectra of such numbers
        assert torch.equal(layer(x), layer(x.float()))


def test_a_mixed_run_learns_is_proven_and_resumes_bit_for_bit(splits, tmp_path):
    mixed = {"precision": "bfloat16", "epochs": 4}
    whole = run(splits, tmp_path / "whole", settings=mixed)
    lines = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert losses[-1] < 0.7 * losses[0]
    assert prove(whole).lip.value <= 1.0
    assert whole.history[0]["settings"]["precision"] == "bfloat16"

    def kill(progress):
        if progress.epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        run(splits, tmp_path / "killed", settings=mixed, on_epoch=kill)
    with pytest.raises(InputError, match="another settings"):
        run(splits, tmp_path / "killed", settings={"epochs": 4}, resume=True)
    resumed = run(splits, tmp_path / "killed", settings=mixed, resume=True)
    assert resumed.sha256() == whole.sha256()
    assert run(splits, tmp_path / "full", settings={"epochs": 4}).sha256() != whole.sha256()


@pytest.mark.parametrize("family", ["mondeq", "lben-conv"])
def test_equilibria_are_solved_in_full_precision_only(family, splits, tmp_path):
    settings = Settings(precision="bfloat16")
    with pytest.raises(InputError, match=r"--precision bfloat16: expected .* solved in float64"):
        train(family, SMALL[family], *splits.values(), settings, tmp_path)
    with pytest.raises(InputError, match=r"--compile: expected .* solved in float64"):
        train(family, SMALL[family], *splits.values(), Settings(), tmp_path, compiled=True)
    assert not list(tmp_path.iterdir())


def test_boxes_are_trained_in_full_precision_only():
    model = build("cnn7", (1, 28, 28), 10, channels=2, hidden=4)
    with pytest.raises(InputError, match="trained with boxes"):
        in_training(model, "bfloat16")


def test_other_precisions_and_recipes_that_fine_tune_in_less_are_refused(tmp_path):
    with pytest.raises(InputError, match="precision = 'float16': expected full or bfloat16"):
        Settings(precision="float16")
    path = tmp_path / "mine.toml"
    path.write_text(
        'family = "sll"\ndataset = "digits"\n[model]\n[train]\n[finetune]\nprecision = "bfloat16"\n'
    )
    with pytest.raises(InputError, match="fine-tuned in full precision"):
        load_recipe(str(path))


def test_a_run_from_before_a_setting_was_there_goes_on(splits, tmp_path):
    def kill(progress):
        if progress.epoch == 4:
            raise Killed

    whole = run(splits, tmp_path / "whole")
    with pytest.raises(Killed):
        run(splits, tmp_path / "old", on_epoch=kill)
    path = tmp_path / "old" / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    key = json.loads(content["key"])
    del key["settings"]["precision"]
    torch.save(content | {"key": json.dumps(key, sort_keys=True)}, path)
    assert run(splits, tmp_path / "old", resume=True).sha256() == whole.sha256()


def test_a_platform_without_a_compiler_is_told_in_one_line(monkeypatch):
    def none(function):
        def fails(*arguments):
            raise RuntimeError("No working C++ compiler found\nsecond line")

        return fails

    monkeypatch.setattr(torch, "compile", none)
    with pytest.raises(UnsupportedError, match="--compile: not on this platform") as caught:
        in_training(model_of("sll"), compiled=True)
    assert str(caught.value).endswith("(No working C++ compiler found)")
    assert caught.value.exit_code == 3


def test_the_loop_calls_what_was_compiled(splits, tmp_path, monkeypatch):
    seen = []

    def like(module):
        seen.append(type(module).__name__)
        return module

    monkeypatch.setattr(torch, "compile", like)
    plain, compiled = (
        run(splits, tmp_path / name, settings={"epochs": 1}, compiled=name == "compiled")
        for name in ("plain", "compiled")
    )
    assert seen[-1] == "SLLClassifier"
    assert compiled.sha256() == plain.sha256()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["sll", "aol", "sandwich", "sll-conv"])
def test_a_compiled_module_has_the_same_losses_and_gradients(family):
    model, x, label = model_of(family), torch.rand(16, 64), torch.arange(16) % 10
    found = []
    for called in (model, in_training(model, compiled=True)):
        for rows in (16, 5):  # the last batch of an epoch is smaller
            model.zero_grad()
            loss = margin_cross_entropy(called(x[:rows]), label[:rows], 1.0, 0.25)
            loss.backward()
            found.append([loss.detach(), *(p.grad.clone() for p in model.parameters())])
    for plain, compiled in zip(found[:2], found[2:], strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-6)


def test_every_family_is_plain_or_an_equilibrium():
    assert {n for n in MODELS if MODELS[n].dtype == torch.float32} == set(PLAIN)
