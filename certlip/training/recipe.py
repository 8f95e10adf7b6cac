"""Recipes: named settings that are known to work, as TOML files in this package, and which one is
taken when none is named."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, fields, replace
from importlib import resources
from typing import Any

from certlip.errors import InputError
from certlip.models import MODELS, NAMED, check_family

#: The one to start from; the others are named after their dataset and family.
DEFAULT = {("digits", "sll"): "digits-quick", ("mnist", "sll"): "mnist-dense"}


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run, besides the data and the first weights.

    Args:
        epochs: Passes over the training data, ≥ 1.
        batch_size: Samples per step, ≥ 1.
        lr: Peak learning rate of Adam, > 0.
        betas: Adam's betas.
        offset: Margin that the loss asks for, in units of the logits, ≥ 0.
        temperature: Temperature of the loss, > 0.
        clip: Largest gradient norm; 0 does not clip.
        seed: Seed of the first weights and of the order of the samples.
        checkpoint_every: Epochs between two checkpoints, ≥ 1.
    """

    epochs: int = 150
    batch_size: int = 64
    lr: float = 1e-2
    betas: tuple[float, float] = (0.5, 0.9)
    offset: float = 0.7071
    temperature: float = 0.1
    clip: float = 0.0
    seed: int = 0
    checkpoint_every: int = 10

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "checkpoint_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} = {value!r}: expected a whole number ≥ 1")
        for name in ("lr", "temperature"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} = {getattr(self, name)!r}: expected a number > 0")
        for name in ("offset", "clip"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} = {getattr(self, name)!r}: expected a number ≥ 0")

    def with_options(self, **options: Any) -> Settings:
        """A copy with every option that is not None set."""
        return replace(self, **{k: v for k, v in options.items() if v is not None})


@dataclass(frozen=True)
class Recipe:
    """A named set of settings: the model's architecture, its training and its fine-tuning."""

    name: str
    family: str
    dataset: str
    model: dict[str, int]
    train: Settings
    finetune: Settings
    note: str = ""


def recipe_names() -> list[str]:
    """The recipes that come with certlip."""
    folder = resources.files("certlip.training") / "recipes"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def load_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        InputError: there is none; the message names the nearest.
    """
    names = recipe_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(names)}"
        raise InputError(f"--recipe {name!r}: no such recipe; {hint}")
    text = (resources.files("certlip.training") / "recipes" / f"{name}.toml").read_text("utf-8")
    table = tomllib.loads(text)
    return Recipe(
        name=name,
        family=table["family"],
        dataset=table["dataset"],
        model=table["model"],
        train=_settings(name, table["train"]),
        finetune=_settings(name, table["finetune"]),
        note=table["note"],
    )


def recipe_for(family: str | None = None, dataset: str | None = None) -> Recipe:
    """The recipe that a family (SLL by default) and a dataset start from.

    That of the family on this dataset, else on the digits, else on any; a network of the papers
    without a recipe of its own is trained like its family.

    Raises:
        InputError: unknown family.
    """
    family, dataset = family or "sll", dataset or "digits"
    check_family(family)
    names = recipe_names()
    wanted = [DEFAULT.get((d, family), f"{d}-{family}") for d in (dataset, "digits")]
    wanted += [name for name in names if name.endswith(f"-{family}")]
    for name in wanted:
        if name in names:
            return load_recipe(name)
    own = NAMED[family].func
    like = recipe_for(next(name for name, model in MODELS.items() if model is own), dataset)
    return replace(like, family=family, model={}, note=f"{family}, trained like {like.name}")


def _settings(name: str, table: dict[str, Any]) -> Settings:
    unknown = set(table) - {field.name for field in fields(Settings)}
    if unknown:
        raise InputError(f"recipe {name}: unknown setting {sorted(unknown)[0]!r}")
    if "betas" in table:
        table = {**table, "betas": tuple(table["betas"])}
    return Settings(**table)
