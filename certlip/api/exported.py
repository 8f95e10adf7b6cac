"""Explicit networks as files for other runtimes, put in place only if those runtimes agree."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from certlip._version import __version__
from certlip.api.models import Model, model_entry, network_of, path_of
from certlip.api.result import Result
from certlip.blocks import Network
from certlip.data import Dataset
from certlip.errors import InputError, RejectedError
from certlip.files import atomic
from certlip.interop.export import DTYPES, Exporter, exporter
from certlip.solvers import Evaluator

RECORD = ".json"
"""Comes after the name of the file, for the document beside it."""
RANDOM = 64
"""Rows of noise that are compared where no data is given."""
ROWS = 256
TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
"""How far logits may differ, in units of 1 + the largest logit."""


class ExportResult(Result):
    """`files` are what was written; `largest_difference` is that of two logits of the same sample."""

    @property
    def files(self) -> list[Path]:
        return [Path(entry["path"]) for entry in self.document["export"]["files"]]

    @property
    def largest_difference(self) -> float:
        return self.document["compared"]["largest_difference"]

    def __repr__(self) -> str:
        names = ", ".join(path.name for path in self.files)
        return f"ExportResult({names}, largest difference {self.largest_difference:.3g})"


def export(
    model: Model,
    path: str | Path,
    *,
    to: str = "torch",
    data: Dataset | None = None,
    dtype: str | None = None,
    seed: int = 0,
    name: str | None = None,
) -> ExportResult:
    """Writes an explicit network for a runtime that knows nothing of certlip.

    The written files are run by that runtime and compared with the network in float64; the record
    `NAME.py.json` or `NAME.onnx.json` beside them has the largest difference and all hashes.

    Args:
        model: What to export. An equilibrium has no finite form and is refused.
        path: `NAME.py` for torch (with `NAME.weights.pt` beside it), `NAME.onnx` for ONNX.
        to: `torch` or `onnx`.
        data: Samples to compare on; noise in [0, 1] without them.
        dtype: `float64`, the numbers that are proven, or `float32`, which rounds them; the usual one of the
            format unless given.
        seed: Of the noise.
        name: What the record calls the model; where it lies unless given.

    Raises:
        UnsupportedError: a block that is no finite formula, or has no form in the format.
        InputError: an unknown format or dtype, data of another width, a file that cannot be written, or
            one in its place that no export wrote.
        RejectedError: the runtime computes something else; no file is left.
    """
    form = exporter(to)
    path, dtype = Path(path), form.dtype if dtype is None else dtype
    if dtype not in DTYPES:
        raise InputError(f"--dtype {dtype!r}: expected {' or '.join(DTYPES)}")
    if path.suffix != form.suffix or not path.stem:
        raise InputError(f"--out {path}: expected a name that ends in {form.suffix}")
    network = network_of(model)
    files = form.render(network, dtype)
    _require_replaceable(path, files)
    x, entry = _samples(network, data, seed)
    compared = _compared(form, files, network, x, dtype)
    for suffix, content in files.items():
        target = path.with_suffix(suffix)
        atomic(target, lambda file, content=content: file.write_bytes(content))
    document = {
        "schema": "certlip/export/1",
        "certlip": __version__,
        "model": model_entry(name or path_of(model), network),
        "export": {
            "format": to,
            "dtype": dtype,
            "rounded": dtype == "float32" and not _is_float32(network),
            "files": [
                {
                    "path": str(path.with_suffix(suffix)),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
                for suffix, content in files.items()
            ],
        },
        "compared": entry | compared,
        "status": "done",
        "exit_code": 0,
    }
    result = ExportResult(document)
    result.to_json(_record(path))
    return result


def _require_replaceable(path: Path, files: dict[str, bytes]) -> None:
    """What is there already may be the source of the model: only an earlier export is replaced.

    Raises:
        InputError: a file that is not as the record beside it says.
    """
    try:
        record = json.loads(_record(path).read_text("utf-8"))
        known = {entry["sha256"] for entry in record["export"]["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        known = set()
    for suffix in files:
        target = path.with_suffix(suffix)
        if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() not in known:
            raise InputError(
                f"--out {path}: {target} exists and is no export; expected another name"
            )


def _record(path: Path) -> Path:
    return path.with_name(path.name + RECORD)


def _samples(
    network: Network, data: Dataset | None, seed: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Rows to compare on, and where they are from."""
    if data is None:
        x = np.random.default_rng(seed).random((RANDOM, network.in_width))
        return x, {"data": None, "samples": RANDOM}
    if data.width != network.in_width:
        raise InputError(
            f"{data.name}: samples of {data.width} numbers; expected {network.in_width}, which the "
            "model takes"
        )
    entry = {"name": data.name, "split": data.split, "sha256": data.sha256()}
    return data.x, {"data": entry, "samples": len(data)}


def _compared(
    form: Exporter, files: dict[str, bytes], network: Network, x: np.ndarray, dtype: str
) -> dict[str, Any]:
    """How far the runtime is from the network.

    Raises:
        RejectedError: further than rounding explains.
    """
    evaluate = Evaluator(network)
    largest, size, changed, runtime = 0.0, 0.0, 0, ""
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for suffix, content in files.items():
            Path(folder, f"network{suffix}").write_bytes(content)
        for start in range(0, len(x), ROWS):
            rows = x[start : start + ROWS]
            expected = evaluate(torch.from_numpy(rows)).numpy()
            found, runtime = form.run(Path(folder, f"network{form.suffix}"), rows, dtype)
            if found.shape != expected.shape:
                raise RejectedError(
                    f"{runtime} gives logits of shape {found.shape}: expected {expected.shape}"
                )
            # NaN must not hide in a maximum
            difference = np.nan_to_num(np.abs(found - expected), nan=np.inf).max()
            largest = max(largest, float(difference))
            size = max(size, float(np.abs(expected).max()))
            changed += int((found.argmax(1) != expected.argmax(1)).sum())
    if not largest <= TOLERANCE[dtype] * (1.0 + size):
        raise RejectedError(
            f"{runtime} differs from the network by {largest:.3g} in a logit (the largest is "
            f"{size:.3g}): expected rounding of {dtype}; nothing was written"
        )
    return {"runtime": runtime, "largest_difference": largest, "classes_changed": changed}


def _is_float32(network: Network) -> bool:
    """Whether rounding to float32 changes no stored number."""
    arrays = [array for block in network.blocks for array in block.arrays().values()]
    return all(bool((array.float().double() == array).all()) for array in arrays)
