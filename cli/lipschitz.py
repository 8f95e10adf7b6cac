"""`certlip lipschitz`: the smallest Lipschitz bound that can be proven, by block, network and pair of
classes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from certlip.errors import InconclusiveError, InputError

from .options import ModelPath, model_entry, read_model
from .session import Session, command

if TYPE_CHECKING:
    from certlip.blocks import Network
    from certlip.lmi.ladder import Climbed, Ladder


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
    document = {
        "schema": "certlip/lipschitz/1",
        "model": model_entry(model, network),
        "settings": settings,
        **ladder_fields(network, ladder),
    }
    session.say(ladder_table(document))
    for rung in document["rungs"]:
        for stretch in rung["stretches"]:
            if stretch["reason"]:
                first, last = stretch["blocks"]
                of = f"block {first}" if first == last else f"blocks {first} to {last}"
                session.say(f"{rung['name']}, {of}: {stretch['reason']}")
    if ladder.pairs_reason and pairs:
        session.say(f"pairs of classes: {ladder.pairs_reason}")
    code = 0 if ladder.lip is not None else InconclusiveError.exit_code
    session.emit(document | {"status": "done", "exit_code": code})
    return code


def ladder_fields(network: Network, ladder: Ladder) -> dict[str, Any]:
    """What was proven, as the fields of a document."""
    return {
        "lipschitz_upper": _text(ladder.lip),
        "spectral_product": _text(ladder.rungs[0].lip),
        "rungs": [_rung(rung) for rung in ladder.rungs],
        "blocks": [
            {
                "name": f"block{k}",
                "kind": block.kind,
                "lipschitz_upper": _text(ladder.blocks[k]),
                "spectral_upper": _text(ladder.rungs[0].stretches[k].lip),
            }
            for k, block in enumerate(network.blocks)
        ],
        "pairs_upper": None
        if ladder.pairs is None
        else [[repr(float(bound)) for bound in row] for row in ladder.pairs],
        "pairs_reason": ladder.pairs_reason,
    }


def _rung(rung: Climbed) -> dict[str, Any]:
    stretches = [
        {
            "blocks": [s.start, s.stop - 1],
            "lipschitz_upper": _text(s.lip),
            "solver_estimate": s.estimate,
            "seconds": s.seconds,
            "reason": s.reason,
        }
        for s in rung.stretches
    ]
    return {
        "name": rung.rung,
        "lipschitz_upper": _text(rung.lip),
        "seconds": rung.seconds,
        "stretches": stretches,
    }


def _text(bound: Any) -> str | None:
    return None if bound is None else str(bound)


def register(app: typer.Typer) -> None:
    command(app, "lipschitz")(lipschitz)
