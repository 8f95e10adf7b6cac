"""`certlip convert`: models of other code bases, and models for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from certlip.errors import InputError

from .options import DataDir, Limit, OptionalDataset, Split, check_writable, read_data, read_pairs
from .session import Session, command

if TYPE_CHECKING:
    from certlip.blocks import Network
    from certlip.data import Dataset

#: Of `certlip.interop.READERS`, which costs an import of torch.
FORMATS = "semimondeq, lipsdp, lben-2021, mondeq-2020, sll-2023, lben-2023, onnx, torch"


def convert(
    session: Session,
    source: Annotated[
        Path,
        typer.Argument(
            help="The foreign file, or package.module:factory; with --to a model of certlip, too.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="model.pt or model.safetensors to write; with --to, NAME.py or NAME.onnx.",
        ),
    ],
    format_name: Annotated[
        str | None, typer.Option("--from", help=f"Its format: {FORMATS}.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="torch or onnx: write an explicit network for other runtimes."),
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=NUMBER the format does not store.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="With --to: float64 (torch's default) or float32 (that of onnx)."),
    ] = None,
    dataset: OptionalDataset = None,
    data_dir: DataDir = None,
    split: Split = "test",
    limit: Limit = None,
) -> int:
    """Convert a trained model of another code base, or with --to into one; the function is kept exactly."""
    from certlip.api.models import load, model_entry
    from certlip.blocks import save
    from certlip.interop import convert as read

    pairs = read_pairs(values)
    if format_name is None and (to is None or pairs):
        raise InputError(f"--from is missing: expected one of {FORMATS}")
    unused = {"--dtype": dtype, "--dataset": dataset}
    for name, value in unused.items():
        if to is None and value is not None:
            raise InputError(f"{name} {value}: is for --to, which compares what it writes")
    check_writable("--out", out, source)
    session.prepare_torch()
    network = None if format_name is None else read(source, format_name, pairs)
    if to is not None:
        data = None if dataset is None else read_data(dataset, data_dir, split, limit)
        network = load(source) if network is None else network
        return _export(session, network, source, out, to, data, dtype)
    assert network is not None
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


def _export(
    session: Session,
    network: Network,
    source: Path,
    out: Path,
    to: str,
    data: Dataset | None,
    dtype: str | None,
) -> int:
    from certlip.api.exported import export

    name = str(source)
    result = export(network, out, to=to, data=data, dtype=dtype, seed=session.seed, name=name)
    compared = result.document["compared"]
    where = "samples of noise" if data is None else f"samples of {data.name} ({data.split})"
    session.say(
        f"{compared['runtime']}: logits differ by at most {result.largest_difference:.3g} on "
        f"{compared['samples']:,} {where}, {compared['classes_changed']} classes change"
    )
    for entry in result.document["export"]["files"]:
        session.say(f"wrote {entry['path']}, sha256 {entry['sha256']}")
    session.say(f"function sha256 {network.sha256()}")
    session.emit(result.document)
    return 0


def register(app: typer.Typer) -> None:
    command(app, "convert")(convert)
