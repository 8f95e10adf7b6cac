"""Recipes load, fit the models they are for, and refuse settings that are none."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from certlip.errors import InputError
from certlip.models import MODELS, NAMED, build
from certlip.training import Settings, load_recipe, recipe_for, recipe_names

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28)}


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads(name):
    recipe = load_recipe(name)
    assert recipe.note
    with torch.device("meta"):  # its sizes fit its family and its data
        build(recipe.family, SHAPES[recipe.dataset], 10, **recipe.model)


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
