"""`certlip convert`: models of other code bases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import read_pairs
from .session import Session, command

#: Of `certlip.interop.READERS`, which costs an import of torch.
FORMATS = "semimondeq, lipsdp, lben-2021, mondeq-2020, sll-2023, lben-2023, onnx, torch"


def convert(
    session: Session,
    source: Annotated[
        Path, typer.Argument(help="The foreign file, or package.module:factory.", metavar="SOURCE")
    ],
    format_name: Annotated[str, typer.Option("--from", help=f"Its format: {FORMATS}.")],
    out: Annotated[Path, typer.Option("--out", help="model.pt or model.safetensors to write.")],
    values: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=NUMBER the format does not store.")
    ] = None,
) -> int:
    """Convert a trained model of another code base; the function is kept exactly."""
    from certlip.api.models import model_entry
    from certlip.blocks import save
    from certlip.interop import convert as read

    session.prepare_torch()
    network = read(source, format_name, read_pairs(values))
    save(network, out)
    session.say(f"{out}: {', '.join(block.kind for block in network.blocks)}")
    session.say(f"function sha256 {network.sha256()}")
    session.emit(
        {
            "schema": "certlip/convert/1",
            "source": str(source),
            "model": model_entry(out, network),
        }
    )
    return 0


def register(app: typer.Typer) -> None:
    command(app, "convert")(convert)
