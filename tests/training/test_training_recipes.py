"""Recipes load, fit the models they are for, and refuse settings that are none."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from certlip.data.augment.flip import Flip
from certlip.data.augment.jitter import Jitter
from certlip.errors import InputError
from certlip.models import BOXED, MODELS, NAMED, build
from certlip.training import Settings, load_recipe, recipe_for, recipe_names
from certlip.training.losses.cross_entropy import CrossEntropy
from certlip.training.losses.multi_margin import MultiMargin
from certlip.training.recipe import NEEDED, OPTIONAL, Recipe, _recipe
from certlip.training.schedules.cosine import Cosine

SHAPES = {
    "digits": ((1, 8, 8), 10),
    "mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "tiny-imagenet": ((3, 64, 64), 200),
}

MINE = """
family = "mondeq"
dataset = "digits"

[model]
hidden = 12

[train]
epochs = 2

[train.loss]
name = "multi-margin"
margin = 0.5

[train.schedule]
name = "cosine"
"""


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads(name):
    recipe = load_recipe(name)
    assert recipe.note
    shape, classes = SHAPES[recipe.dataset]
    sizes = dict(recipe.model)
    assert len(sizes.pop("mean", shape[:1])) in (1, shape[0])
    with torch.device(
        "meta"
    ):  # its sizes fit its family and its data; a mean cannot be checked there
        build(recipe.family, shape, classes, **sizes)


def test_settings_are_plain_values_and_back():
    for name in recipe_names():
        recipe = load_recipe(name)
        for settings in (recipe.train, recipe.finetune):
            plain = json.loads(json.dumps(settings.table()))
            assert Settings.from_table(plain) == settings
    changed = Settings(augment=(Jitter(contrast=(0.9, 1.1)), Flip()), ema=0.9)
    assert Settings.from_table(changed.table()) == changed != Settings()


def test_the_recipes_of_the_paper_have_its_hyper_parameters():
    sll, lben = (load_recipe(f"havens2023-cifar10-{name}") for name in ("sll", "lben"))
    assert (sll.train.epochs, sll.train.lr, sll.train.betas) == (1000, 1e-2, (0.5, 0.9))
    assert sll.train.loss == CrossEntropy(offset=1.41421, temperature=0.25)
    assert [change.name for change in sll.train.augment] == ["crop", "flip", "jitter"]
    assert (lben.family, lben.model, lben.origin) == (sll.family, sll.model, sll.name)
    assert (lben.finetune.epochs, lben.finetune.lr, lben.finetune.kernel_l1) == (40, 1e-7, 0.1)
    assert lben.finetune.clip == 1.0
    assert sll.finetune == lben.finetune  # of a model that was trained without the second recipe
    assert lben.expected[0].certified["1"] == 0.123
    assert load_recipe("araujo2023-xlarge").train.loss.offset == pytest.approx(
        1.5 * 2**0.5, rel=1e-5
    )


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_without_boxes_says_what_it_takes(name):
    recipe = load_recipe(name)
    if recipe.family in BOXED:
        return
    assert set(recipe.cost) == {"time", "memory"}
    for figures in recipe.expected:
        assert figures.source
        natural = [] if figures.natural is None else [figures.natural]
        shares = [*natural, *figures.certified.values()]
        assert shares == sorted(shares, reverse=True)  # ε grows
        assert 0.0 < shares[-1] <= shares[0] < 1.0


def test_a_file_is_a_recipe_too(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    recipe = load_recipe(str(path))
    assert recipe.train == Settings(epochs=2, loss=MultiMargin(margin=0.5), schedule=Cosine())
    assert recipe.model == {"hidden": 12}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs = 2", "epoch = 2", "unknown setting 'epoch'"),
        ("multi-margin", "multi-margins", "loss 'multi-margins': there is none; did you mean"),
        ("margin = 0.5", "margins = 0.5", "loss multi-margin: unknown option 'margins'"),
        ("margin = 0.5", "margin = -1", "margin = -1: expected a number > 0"),
        ('"cosine"', '"cosinus"', "schedule 'cosinus'"),
        ('dataset = "digits"', "", "no 'dataset'"),
        ("[train]", "[tuning]\n[train]", "unknown entry 'tuning'"),
        ("epochs = 2", "epochs = ", "cannot be read"),
    ],
)
def test_a_file_that_is_no_recipe_says_why(tmp_path, old, new, said):
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace(old, new))
    with pytest.raises(InputError, match=re.escape(said)):
        load_recipe(str(path))


ODD = (
    None,
    True,
    -1,
    0.5,
    "",
    "crop",
    [],
    ["crop"],
    {},
    {"name": 3},
    [{"name": "jitter", "hue": "x"}],
)


@given(
    where=st.sampled_from(("", "train", "finetune")),
    key=st.sampled_from((*NEEDED, *OPTIONAL, *(f.name for f in dataclasses.fields(Settings)))),
    value=st.sampled_from(ODD),
)
def test_odd_values_are_refused_or_taken_and_nothing_else(where, key, value):
    table = tomllib.loads(MINE + "[finetune]\nepochs = 1\n[cost]\ntime = 'long'\n")
    (table[where] if where else table)[key] = value
    with contextlib.suppress(InputError):
        assert isinstance(_recipe("mine", table), Recipe)


def test_the_scripts_name_recipes_that_exist():
    scripts = sorted((Path(__file__).parents[2] / "examples" / "reproduce").glob("*.sh"))
    assert len(scripts) >= 2
    for script in scripts:
        subprocess.run(["sh", "-n", str(script)], check=True)
        text = script.read_text("utf-8")
        names = re.findall(r"--recipe ([\w-]+)", text)
        for loop in re.findall(r"for recipe in (.*);", text):
            names += loop.split()
        assert names
        for name in names:
            assert load_recipe(name).origin


def test_every_family_and_network_starts_from_a_recipe():
    for family in MODELS:
        assert recipe_for(family).family == family
        assert recipe_for(family, "npz:mine.npz") == recipe_for(family, "digits")
    for family in NAMED:
        recipe = recipe_for(family)
        assert (recipe.family, recipe.model) == (family, {})
    assert recipe_for().name == "digits-quick"
    assert recipe_for(None, "mnist").name == "mnist-dense"
    assert recipe_for("havens2023-sll", "digits").name == "mnist-havens2023-sll"
    assert recipe_for("araujo2023-small").train == load_recipe("digits-sll-conv").train
    assert recipe_for("winston2020-fc").train == load_recipe("digits-mondeq").train
    with pytest.raises(InputError, match="did you mean 'sll-conv'"):
        recipe_for("sll-con")


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'digits-quick'"):
        load_recipe("digit-quick")


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"accumulate": 1.5},
        {"betas": (0.5, 1.0)},
        {"ema": -0.1},
        {"kernel_l1": -1.0},
        {"clip": float("inf")},
        {"checkpoint_every": 0},
    ],
)
def test_bad_settings_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        dataclasses.replace(Settings(), **change)
