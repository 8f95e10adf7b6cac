"""Options that several commands take, and how their values are read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from certlip.errors import InputError

if TYPE_CHECKING:
    from certlip.blocks import Network
    from certlip.data import Dataset

    from .session import Session

ModelPath = Annotated[
    Path,
    typer.Argument(
        help="model.pt, model.safetensors, model.onnx or package.module:factory", metavar="MODEL"
    ),
]
DATASETS = "digits, mnist, cifar10, cifar100, tiny-imagenet, folder:PATH or npz:PATH."
DatasetName = Annotated[str, typer.Option("--dataset", help=DATASETS)]
OptionalDataset = Annotated[str | None, typer.Option("--dataset", help=DATASETS)]
DataDir = Annotated[Path | None, typer.Option(help="Where the dataset's own files lie.")]
Split = Annotated[str, typer.Option(help="Which split of the dataset.")]
TrainSplit = Annotated[str, typer.Option("--split", help="Which split to train on.")]
Limit = Annotated[int | None, typer.Option(help="Only N samples, of folders evenly spaced.")]
Gates = Annotated[
    str | None,
    typer.Option(help='Such as "lipschitz_upper <= 1.001; max_drop 0.01 vs baseline.json".'),
]
OutDir = Annotated[Path, typer.Option("--out", help="Folder for what is written.")]
EPS = "36/255,72/255,108/255,1"
EPS_LINF = "1/255,2/255,8/255,0.1"
EpsOption = Annotated[str, typer.Option("--eps", help="Radii in raw input units.")]


def check_writable(option: str, path: Path | None, source: Path | None = None) -> None:
    """Refuses an output before hours of work, not after.

    Args:
        source: What is read, which must not be replaced.

    Raises:
        InputError: `path` is a folder or the source, or a folder on the way to it is a file or not
            writable.
    """
    if path is None:
        return
    folder = path.absolute().parent
    try:
        if path.is_dir():
            raise InputError(f"{option} {path}: is a folder; expected the name of a file")
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{option} {path}: is the model that is read; expected another file")
        while not folder.exists():
            folder = folder.parent
        writable = folder.is_dir() and os.access(folder, os.W_OK)
        if writable:  # may still be no place for files, such as /proc
            with tempfile.TemporaryFile(dir=folder):
                pass
    except OSError as error:  # a name that is too long, a folder that may not be searched
        raise InputError(f"{option} {path}: cannot be written ({error.strerror})") from None
    if not writable:
        raise InputError(f"{option} {path}: cannot be written, {folder} is no writable folder")


def read_model(path: Path) -> Network:
    """The network of a model file, or of the `package.module:factory` that a path may stand for.

    Raises:
        InputError: not a file certlip reads, or a factory that gives no model.
        UnsupportedError: a layer or operator that has no rule.
    """
    from certlip.api.models import load

    return load(path)


def read_data(name: str, data_dir: Path | None, split: str, limit: int | None) -> Dataset:
    """One split of a dataset."""
    from certlip import data

    return data.load(name, split=split, data_dir=data_dir, limit=limit)


def read_pairs(values: list[str] | None) -> dict[str, float]:
    """`--set name=number`, several times.

    Raises:
        InputError: not of that form, or a name twice.
    """
    pairs: dict[str, float] = {}
    for value in values or []:
        name, equals, number = value.partition("=")
        try:
            parsed = float(number)
        except ValueError:
            parsed = float("nan")
        if not equals or not name or parsed != parsed or name in pairs:
            raise InputError(f"--set {value!r}: expected NAME=NUMBER, each name once")
        pairs[name] = parsed
    return pairs


def emit_run(session: Session, command: str, out: Path, network: Network) -> None:
    """The JSON document of a training run that wrote `out/model.pt`."""
    from certlip.api.models import model_entry

    session.emit(
        {
            "schema": f"certlip/{command}/1",
            "model": model_entry(out / "model.pt", network),
            "history": list(network.history),
        }
    )
