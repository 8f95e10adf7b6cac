"""`certlip train`: train a Lipschitz-bounded model; what is kept is proven."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperCommand

from certlip.errors import InputError

from .options import DataDir, Limit, OptionalDataset, TrainSplit, emit_run, read_data
from .session import Session, command
from .watching import watch


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
    recipe: Annotated[str | None, typer.Option(help="A named set of settings.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples per step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the recipes.")] = False,
) -> int:
    """Train a model and write OUT/model.pt, the best epoch whose bound is proven."""
    from certlip.training import load_recipe, recipe_for
    from certlip.training import train as run

    if show_list:
        return _show_list(session)
    if out is None:
        raise InputError("--out is missing: the folder of the run")
    settings = load_recipe(recipe) if recipe else recipe_for(family, dataset)
    if family is not None and family != settings.family:
        raise InputError(f"--family {family!r}: recipe {settings.name} trains {settings.family!r}")
    options = settings.train.with_options(
        epochs=epochs, batch_size=batch_size, lr=lr, seed=session.seed
    )
    session.prepare_torch()
    name = dataset or settings.dataset
    data = read_data(name, data_dir, split, limit)
    validation = read_data(name, data_dir, "validation", limit)
    architecture = dict(settings.model)
    if settings.family in ("sll", "cpl"):  # their width is that of the input or more
        architecture["width"] = max(architecture["width"], data.x.shape[1], data.classes)
    with watch(session, out, resume) as on_epoch:
        network = run(
            settings.family,
            architecture,
            data,
            validation,
            options,
            out,
            resume=resume,
            device=session.device,
            on_epoch=on_epoch,
        )
    session.say(f"wrote {out / 'model.pt'}, epoch {network.history[-1]['epoch']}")
    emit_run(session, "train", out, network)
    return 0


def _show_list(session: Session) -> int:
    from certlip.models import MODELS, NAMED
    from certlip.training import load_recipe, recipe_for, recipe_names

    table = Table("recipe", "family", "dataset", "what")
    recipes = [load_recipe(name) for name in recipe_names()]
    for r in recipes:
        table.add_row(r.name, r.family, r.dataset, r.note)
    session.say(table)
    for name in NAMED:
        if name not in {r.family for r in recipes}:
            session.say(f"without a recipe of its own: {recipe_for(name).note}")
    session.emit(
        {
            "schema": "certlip/recipes/1",
            "recipes": [r.name for r in recipes],
            "families": list(MODELS),
            "networks": list(NAMED),
        }
    )
    return 0


class _WithFamilies(TyperCommand):
    """Ends the help with the families; their registry loads torch, so only help that is read asks."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from certlip.models import MODELS, NAMED

        del ctx
        for title, names in (("Families", MODELS), ("Networks of the papers", NAMED)):
            lines = textwrap.wrap(", ".join(names), formatter.width - 2, break_on_hyphens=False)
            with formatter.section(title):
                formatter.write("".join(f"  {line}\n" for line in lines))


def register(app: typer.Typer) -> None:
    command(app, "train", cls=_WithFamilies)(train)
