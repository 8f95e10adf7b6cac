"""`certlip lipschitz`: the smallest Lipschitz bound that can be proven, by block, network and pair of
classes."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from certlip.errors import InputError

from .options import ModelPath, read_model
from .session import Session, command


def lipschitz(
    session: Session,
    model: ModelPath,
    tol: Annotated[float, typer.Option(help="Relative gap at which solvers stop.")] = 1e-6,
    max_seconds: Annotated[
        float | None, typer.Option(help="Stop looking for better bounds after this time.")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(help="GiB that may be used; what is free unless given.")
    ] = None,
    pairs: Annotated[
        bool, typer.Option(help="Also bound the difference of every two logits.")
    ] = True,
) -> int:
    """Prove the smallest Lipschitz bounds: from spectral norms up to one LMI for the whole network."""
    from certlip.api.bounds import lipschitz_document
    from certlip.api.models import model_entry
    from certlip.lmi.ladder import Budget, climb
    from certlip.lmi.ladder.memory import available
    from certlip.report.terminal import ladder_table

    for option, value in (("tol", tol), ("max-seconds", max_seconds), ("memory", memory)):
        if value is not None and not 0.0 < value < float("inf"):
            raise InputError(f"--{option} {value}: expected a positive number")
    session.prepare_torch()
    network = read_model(model)
    with session.console.status("") as status:
        budget = Budget(
            deadline=None if max_seconds is None else time.monotonic() + max_seconds,
            memory=available(session.device) if memory is None else memory * 2.0**30,
            tol=tol,
            device=session.device,
            say=status.update,
        )
        ladder = climb(network, budget, pairs=pairs)
    settings = {
        "seed": session.seed,
        "device": session.device,
        "dtype": "float64",
        "tol": tol,
        "max_seconds": max_seconds,
    }
    document = lipschitz_document(model_entry(model, network), settings, network, ladder)
    session.say(ladder_table(document))
    for rung in document["rungs"]:
        for stretch in rung["stretches"]:
            if stretch["reason"]:
                first, last = stretch["blocks"]
                of = f"block {first}" if first == last else f"blocks {first} to {last}"
                session.say(f"{rung['name']}, {of}: {stretch['reason']}")
    if ladder.pairs_reason and pairs:
        session.say(f"pairs of classes: {ladder.pairs_reason}")
    session.emit(document)
    return document["exit_code"]


def register(app: typer.Typer) -> None:
    command(app, "lipschitz")(lipschitz)
