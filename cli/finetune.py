"""`certlip finetune`: the same function as an LBEN, then small steps inside the Lipschitz bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

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
from .options import (
    DataDir,
    Limit,
    ModelPath,
    OptionalDataset,
    OutDir,
    TrainSplit,
    check_writable,
    emit_run,
    read_model,
)
from .ranks import together
from .session import Session, command

if TYPE_CHECKING:
    from certlip.blocks import Network


@together
def finetune(
    session: Session,
    model: ModelPath,
    out: OutDir,
    dataset: OptionalDataset = None,
    data_dir: DataDir = None,
    split: TrainSplit = "train",
    limit: Limit = None,
    recipe: RecipeName = None,
    resume: Resume = False,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    kernel_l1: Annotated[
        float | None, typer.Option(help="Weight of the ℓ1 norm of what is new in the kernels.")
    ] = None,
    max_minutes: MaxMinutes = None,
) -> int:
    """Reparametrize as LBENs with the same function and Lipschitz bound, then fine-tune."""
    from certlip.models import MODELS, NAMED
    from certlip.training import load_recipe, recipe_for

    run = Run(session, resume, max_minutes)
    check_writable("--out", out / "model.pt", model)
    session.prepare_torch()
    network = read_model(model)
    name = dataset or _latest(network, "dataset")
    if name is None:
        raise InputError(f"{model}: its history names no dataset; give --dataset")
    family = _latest(network, "family")
    known = family if family in {**MODELS, **NAMED} else None
    source = load_recipe(recipe) if recipe else recipe_for(known, name)
    settings = source.finetune.with_options(
        epochs=epochs, batch_size=batch_size, lr=lr, kernel_l1=kernel_l1, seed=session.seed
    )
    data, validation = read_splits(name, data_dir, split, limit)
    if data.width != network.in_width or data.classes > network.classes:
        raise InputError(
            f"{name} has {data.width} inputs and {data.classes} classes, the model "
            f"{network.in_width} and {network.classes}"
        )
    tuned = tune(run, network, data, validation, settings, out)
    emit_run(session, "finetune", out, tuned)
    return 0


def _latest(network: Network, key: str) -> str | None:
    """What the history says last under that key; a file may say anything, so only if it is text."""
    said = [entry.get(key) for entry in network.history]
    return next((value for value in reversed(said) if value and isinstance(value, str)), None)


def register(app: typer.Typer) -> None:
    command(app, "finetune")(finetune)
