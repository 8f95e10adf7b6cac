"""Recipes: named settings that are known to work, as TOML files in this package, and which one is
taken when none is named."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from certlip.errors import InputError
from certlip.models import MODELS, NAMED, check_family
from certlip.training.settings import Settings

#: The one to start from; the others are named after their dataset and family.
DEFAULT = {
    ("digits", "sll"): "digits-quick",
    ("mnist", "sll"): "mnist-dense",
    ("mnist", "mondeq"): "havens2023-mnist-mondeq",
    ("cifar10", "havens2023-sll"): "havens2023-cifar10-sll",
    ("cifar100", "havens2023-sll"): "havens2023-cifar100-sll",
    **{
        ("cifar10", f"araujo2023-{size}"): f"araujo2023-{size}"
        for size in ("small", "medium", "large", "xlarge")
    },
}


NEEDED = {"family": str, "dataset": str, "model": dict, "train": dict}
OPTIONAL = {"note": str, "origin": str, "finetune": dict, "expected": list, "cost": dict}
FROM_ORIGIN = ("family", "model", "train")


@dataclass(frozen=True)
class Expected:
    """Figures that a recipe should reach on the test split, and who measured them, as far as known."""

    source: str
    certified: dict[str, float]
    natural: float | None = None


@dataclass(frozen=True)
class Recipe:
    """A named set of settings: the model's architecture, its training and its fine-tuning.

    Args:
        origin: The recipe whose model this one fine-tunes; None trains from random weights.
        expected: Figures of a source, and ours where they were measured.
        cost: Time and memory, in words.
    """

    name: str
    family: str
    dataset: str
    model: dict[str, Any]
    train: Settings
    finetune: Settings
    note: str = ""
    origin: str | None = None
    expected: tuple[Expected, ...] = ()
    cost: dict[str, str] = field(default_factory=dict)


def recipe_names() -> list[str]:
    """The recipes that come with certlip."""
    folder = resources.files("certlip.training") / "recipes"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def load_recipe(name: str) -> Recipe:
    """The recipe of that name, or of that file if the name ends in `.toml`.

    Raises:
        InputError: there is none, and the message names the nearest; or it is no recipe.
    """
    return _recipe(name, _table(name))


def _recipe(name: str, table: dict[str, Any]) -> Recipe:
    origin = table.get("origin")
    if isinstance(origin, str):
        base = _table(origin)
        table = {key: base[key] for key in FROM_ORIGIN if key in base} | table
    _check(name, table)
    try:
        train = Settings.from_table(table["train"])
        finetune = Settings.from_table(table.get("finetune") or _finetune_of(name))
        expected = tuple(Expected(**figures) for figures in table.get("expected", ()))
        if finetune.precision != "full":
            raise InputError("precision: LBENs are fine-tuned in full precision")
    except (InputError, TypeError) as error:
        raise InputError(f"recipe {name}: {error}") from None
    return Recipe(
        name=name,
        family=table["family"],
        dataset=table["dataset"],
        model=table["model"],
        train=train,
        finetune=finetune,
        note=table.get("note", ""),
        origin=origin,
        expected=expected,
        cost=table.get("cost", {}),
    )


def _check(name: str, table: dict[str, Any]) -> None:
    """Refuses entries that are missing, unknown, or of another type."""
    missing = [key for key in NEEDED if key not in table]
    if missing:
        raise InputError(f"recipe {name}: no {missing[0]!r}; expected {', '.join(NEEDED)}")
    for key, value in table.items():
        kind = (NEEDED | OPTIONAL).get(key)
        if kind is None:
            raise InputError(f"recipe {name}: unknown entry {key!r}")
        if not isinstance(value, kind):
            word = {str: "a text", dict: "a table", list: "tables"}[kind]
            raise InputError(f"recipe {name}: {key} = {value!r}; expected {word}")


def _table(name: str) -> dict[str, Any]:
    names = recipe_names()
    if name in names:
        text = (resources.files("certlip.training") / "recipes" / f"{name}.toml").read_text("utf-8")
        return tomllib.loads(text)
    if name.endswith(".toml"):
        try:
            return tomllib.loads(Path(name).read_text("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"--recipe {name}: cannot be read ({error})") from None
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(names)}"
    raise InputError(f"--recipe {name!r}: no such recipe; {hint}")


def _finetune_of(name: str) -> dict[str, Any]:
    """The fine-tuning of the recipe that begins with this one; the defaults if none does."""
    tables = (_table(other) for other in recipe_names())
    return next((table["finetune"] for table in tables if table.get("origin") == name), {})


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
