"""`certlip inspect`: what a model file holds."""

from __future__ import annotations

import typer

from .options import ModelPath, read_model
from .session import Session, command


def inspect(session: Session, model: ModelPath) -> int:
    """Show the blocks of a model, their shapes, rules and proven constants."""
    from certlip.blocks import ConvEquilibrium, Equilibrium, PaddedEquilibrium
    from certlip.certification.document import block_row
    from certlip.errors import CertlipError
    from certlip.lmi.rules import RULES
    from certlip.report.terminal import blocks_table

    session.prepare_torch()
    network = read_model(model)
    rows = []
    for k, block in enumerate(network.blocks):
        try:
            with session.console.status(f"proving block {k}"):
                rows.append(block_row(k, block, RULES[type(block)](block)))
        except CertlipError as error:
            rows.append(
                block_row(k, block, None)
                | {"rule": "not proven", "lipschitz_upper": None, "reason": str(error)}
            )
        if isinstance(block, Equilibrium | ConvEquilibrium) and block.origin is not None:
            rows[-1]["family"] = block.origin.family
        elif isinstance(block, PaddedEquilibrium):
            rows[-1]["family"] = "lben"
    session.say(f"{model}: {network.in_width} inputs, {network.classes} outputs")
    session.say(f"function sha256 {network.sha256()}")
    session.say(blocks_table(rows))
    for row in rows:
        if "reason" in row:
            session.say(f"{row['name']}: {row['reason']}")
    for entry in network.history:
        facts = ", ".join(
            f"{key} {value}" for key, value in entry.items() if key not in ("step", "settings")
        )
        session.say(f"history: {entry.get('step', '?')}: {facts}")
    session.emit(
        {
            "schema": "certlip/inspect/1",
            "model": {"path": str(model), "sha256": network.sha256(), "blocks": rows},
            "history": list(network.history),
        }
    )
    return 0


def register(app: typer.Typer) -> None:
    command(app, "inspect")(inspect)
