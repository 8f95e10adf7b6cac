"""`certlip finetune`: the same function as an LBEN, then small steps inside the Lipschitz bound."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

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
from .session import Session, command
from .watching import watch

if TYPE_CHECKING:
    from certlip.blocks import Block, Network
    from certlip.reparam import Reparametrized


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
    """Reparametrize as LBENs with the same function and Lipschitz bound, then fine-tune."""
    from certlip.models import MODELS, NAMED
    from certlip.training import finetune as run
    from certlip.training import load_recipe, recipe_for

    session.prepare_torch()
    network = read_model(model)
    name = dataset or _latest(network, "dataset")
    if name is None:
        raise InputError(f"{model}: its history names no dataset; give --dataset")
    family = _latest(network, "family")
    known = family if family in {**MODELS, **NAMED} else None
    source = load_recipe(recipe) if recipe else recipe_for(known, name)
    settings = source.finetune.with_options(
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
            on_parts=lambda parts: session.say(*_what_is_trained(parts)),
            on_epoch=on_epoch,
        )
    done = tuned.history[-1]
    same = "no epoch was better and nowhere worse on the validation split, kept the origin"
    session.say(f"wrote {out / 'model.pt'}{'' if done['epochs_not_worse'] else f': {same}'}")
    lost = ", ".join(f"{s:.4f} at {eps}" for eps, s in done["certified_lost_at_start"].items())
    if lost and not done["epochs_not_worse"]:
        session.say(f"rebuilt as it is, the origin loses certified accuracy there: {lost}")
    emit_run(session, "finetune", out, tuned)
    return 0


def _latest(network: Network, key: str) -> str | None:
    """What the history says last under that key; a file may say anything, so only if it is text."""
    said = [entry.get(key) for entry in network.history]
    return next((value for value in reversed(said) if value and isinstance(value, str)), None)


def _what_is_trained(parts: Reparametrized) -> list[str]:
    """A line for every LBEN, and one for the blocks between them."""
    from certlip.equilibrium import LBEN

    lines, fixed = [], Counter()
    for part in parts.parts:
        if isinstance(part, LBEN):
            count = sum(p.numel() for p in part.parameters())
            lines.append(f"trained: an LBEN, {part.freeze().describe()}, {count:,} parameters")
        else:
            fixed[_kind(part)] += 1
    if fixed:
        words = [kind if n == 1 else f"{n} × {kind}" for kind, n in fixed.items()]
        lines.append(f"stays as it is: {', '.join(words)}")
    return lines


def _kind(block: Block) -> str:
    padding = getattr(block, "padding", None)
    return block.kind if padding is None else f"{block.kind} with {padding} padding"


def register(app: typer.Typer) -> None:
    command(app, "finetune")(finetune)
