"""`certlip finetune`: the same function as an LBEN, then small steps inside the Lipschitz bound."""

from __future__ import annotations

from typing import Annotated

import typer

from certlip.errors import InputError

from .options import (
    DataDir,
    Limit,
    ModelPath,
    OptionalDataset,
    OutDir,
    TrainSplit,
    emit_run,
    read_data,
    read_model,
)
from .recipes import default_recipe
from .session import Session, command
from .watching import watch


def finetune(
    session: Session,
    model: ModelPath,
    out: OutDir,
    dataset: OptionalDataset = None,
    data_dir: DataDir = None,
    split: TrainSplit = "train",
    limit: Limit = None,
    recipe: Annotated[str | None, typer.Option(help="A named set of settings.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples per step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
) -> int:
    """Reparametrize as an LBEN with the same function and Lipschitz bound, then fine-tune."""
    from certlip.training import finetune as run
    from certlip.training import load_recipe

    session.prepare_torch()
    network = read_model(model)
    name = dataset or next(
        (e["dataset"] for e in reversed(network.history) if e.get("dataset")), None
    )
    if name is None:
        raise InputError(f"{model}: its history names no dataset; give --dataset")
    settings = load_recipe(recipe or default_recipe(None, name)).finetune.with_options(
        epochs=epochs, batch_size=batch_size, lr=lr, seed=session.seed
    )
    data = read_data(name, data_dir, split, limit)
    validation = read_data(name, data_dir, "validation", limit)
    if data.x.shape[1] != network.in_width or data.classes > network.classes:
        raise InputError(
            f"{name} has {data.x.shape[1]} inputs and {data.classes} classes, the model "
            f"{network.in_width} and {network.classes}"
        )
    with watch(session, out, resume) as on_epoch:
        tuned = run(
            network,
            data,
            validation,
            settings,
            out,
            resume=resume,
            device=session.device,
            on_epoch=on_epoch,
        )
    kept = tuned.history[-1]["epochs_not_worse"]
    session.say(
        f"wrote {out / 'model.pt'}"
        + (
            ""
            if kept
            else ": no epoch was better and nowhere worse on the validation split, kept the origin"
        )
    )
    emit_run(session, "finetune", out, tuned)
    return 0


def register(app: typer.Typer) -> None:
    command(app, "finetune")(finetune)
