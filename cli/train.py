"""`certlip train`: train a Lipschitz-bounded model; what is kept is proven."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table
from typer.core import TyperCommand

from certlip.errors import InputError

from .fitting import (
    BatchSize,
    Epochs,
    LearningRate,
    MaxMinutes,
    RecipeName,
    Resume,
    Run,
    read_splits,
    tune,
)
from .options import DataDir, Limit, OptionalDataset, TrainSplit, emit_run
from .ranks import together
from .session import Session, command

if TYPE_CHECKING:
    from certlip.blocks import Network
    from certlip.data import Dataset
    from certlip.training import Recipe, Settings
    from certlip.training.recipe import Expected


@together
def train(
    session: Session,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run.")] = None,
    family: Annotated[
        str | None, typer.Option(help="A family or network, listed below; sll by default.")
    ] = None,
    dataset: OptionalDataset = None,
    data_dir: DataDir = None,
    split: TrainSplit = "train",
    limit: Limit = None,
    recipe: RecipeName = None,
    resume: Resume = False,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="full, or bfloat16 for the products with activations.", show_default=False
        ),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the model with torch.compile.")
    ] = False,
    max_minutes: MaxMinutes = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the recipes.")] = False,
) -> int:
    """Train a model and write OUT/model.pt, the best epoch whose bound is proven."""
    from certlip.training import load_recipe, recipe_for

    if show_list:
        return _show_list(session)
    if out is None:
        raise InputError("--out is missing: the folder of the run")
    source = load_recipe(recipe) if recipe else recipe_for(family, dataset)
    if family is not None and family != source.family:
        raise InputError(f"--family {family!r}: recipe {source.name} trains {source.family!r}")
    run = Run(session, resume, max_minutes, compiled)
    session.prepare_torch()
    options = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": session.seed}
    data, validation = read_splits(dataset or source.dataset, data_dir, split, limit)
    if source.origin is None:
        settings = source.train.with_options(**options, precision=precision)
        network = _train(run, source, data, validation, settings, out)
    else:
        origin = _origin(run, source, data, validation, out, precision)
        settings = source.finetune.with_options(**options)
        network = tune(run, origin, data, validation, settings, out)
    emit_run(session, "train", out, network)
    return 0


def _train(
    run: Run, recipe: Recipe, data: Dataset, validation: Dataset, settings: Settings, out: Path
) -> Network:
    """Trains from random weights."""
    from certlip.training import train as fit

    architecture = dict(recipe.model)
    if recipe.family in ("sll", "cpl"):  # their width is that of the input or more
        architecture["width"] = max(architecture.get("width", 0), data.width, data.classes)
    with run.conduct(out, run.compiled) as conduct:
        network = fit(recipe.family, architecture, data, validation, settings, out, **conduct)
    run.session.say(f"wrote {out / 'model.pt'}, epoch {network.history[-1]['epoch']}")
    return network


def _origin(
    run: Run,
    recipe: Recipe,
    data: Dataset,
    validation: Dataset,
    out: Path,
    precision: str | None,
) -> Network:
    """The model that the recipe fine-tunes, in OUT/origin: trained by its own recipe, or there already.

    It keeps its own settings but for seed and precision: --epochs and the like are for the fine-tuning.
    """
    from certlip.blocks import load
    from certlip.training import load_recipe

    assert recipe.origin is not None
    folder = out / "origin"
    if run.resume and (folder / "model.pt").exists():
        return load(folder / "model.pt")
    origin = load_recipe(recipe.origin)
    run.session.say(f"first its origin, {origin.name}")
    settings = origin.train.with_options(seed=run.session.seed, precision=precision)
    return _train(run, origin, data, validation, settings, folder)


def _show_list(session: Session) -> int:
    from certlip.models import BOXED, MODELS, NAMED
    from certlip.training import load_recipe, recipe_for, recipe_names

    table = Table(box=SIMPLE)
    table.add_column("recipe", no_wrap=True)
    table.add_column("what")
    recipes = [load_recipe(name) for name in recipe_names()]
    for r in recipes:
        what = "; ".join(text for text in (r.note, r.cost.get("time")) if text)
        lines = [f"{r.family} on {r.dataset}", what, *map(_figures, r.expected)]
        table.add_row(r.name, "\n".join(line for line in lines if line))
    session.say(table)
    first = {name: recipe_for(name) for name in (*MODELS, *NAMED, *BOXED)}
    for name in sorted(first.keys() - {r.family for r in recipes}):
        session.say(f"without a recipe of its own: {first[name].note}")
    session.emit(
        {
            "schema": "certlip/recipes/1",
            "recipes": [r.name for r in recipes],
            "details": {r.name: _details(r) for r in recipes},
            "families": list(MODELS),
            "networks": list(NAMED),
            "boxed": list(BOXED),
            "recipes_of": {
                name: [r.name for r in recipes if r.family == name] or [recipe.name]
                for name, recipe in first.items()
            },
        }
    )
    return 0


def _figures(expected: Expected) -> str:
    certified = ", ".join(f"{share:g} at {eps}" for eps, share in expected.certified.items())
    natural = "" if expected.natural is None else f"{expected.natural:g}; "
    return f"expected: {natural}{certified} ({expected.source})"


def _details(recipe: Recipe) -> dict[str, Any]:
    return {
        "family": recipe.family,
        "dataset": recipe.dataset,
        "origin": recipe.origin,
        "note": recipe.note,
        "expected": [asdict(figures) for figures in recipe.expected],
        "cost": recipe.cost,
    }


class _WithFamilies(TyperCommand):
    """Ends the help with the families; their registry loads torch, so only help that is read asks."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from certlip.models import BOXED, MODELS, NAMED

        del ctx
        rows = (
            ("Families", MODELS),
            ("Networks of the papers", NAMED),
            ("Trained with boxes", BOXED),
        )
        for title, names in rows:
            lines = textwrap.wrap(", ".join(names), formatter.width - 2, break_on_hyphens=False)
            with formatter.section(title):
                formatter.write("".join(f"  {line}\n" for line in lines))


def register(app: typer.Typer) -> None:
    command(app, "train", cls=_WithFamilies)(train)
