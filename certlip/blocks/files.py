"""Model files: `model.pt` (tensors and plain values, read with `weights_only=True`), safetensors.

Both hold the same two things: a JSON document with the architecture and the history, and the
tensors it names. Reading checks the hash of the function; a pickle that needs code is refused,
never executed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from certlip._version import __version__
from certlip.blocks.base import Block
from certlip.blocks.conv_equilibrium import ConvEquilibrium
from certlip.blocks.equilibrium import Equilibrium, Origin
from certlip.blocks.kinds import KINDS
from certlip.blocks.network import Network
from certlip.blocks.torch_file import line_of, load_plain, owns_numbers
from certlip.errors import InputError
from certlip.files import atomic

SCHEMA = "certlip/model/1"


def save(network: Network, path: str | Path) -> None:
    """Writes `*.pt` or `*.safetensors`, to a temporary file first.

    Raises:
        InputError: another suffix, a folder that cannot be written, or a history that is not plain.
    """
    path = Path(path)
    document, tensors = _pack(network)
    try:
        text = json.dumps(document, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: the history is not plain values ({line_of(error)})") from None
    if path.suffix == ".pt":
        atomic(path, lambda p: torch.save({"document": text, "tensors": tensors}, p))
    elif path.suffix == ".safetensors":
        atomic(path, lambda p: _save_safetensors(tensors, p, text))
    else:
        raise InputError(f"{path}: expected a name that ends in .pt or .safetensors")


def load(path: str | Path) -> Network:
    """Reads a model file.

    Raises:
        InputError: no such file, not a certlip model, malformed, or its hash does not match.
    """
    path = Path(path)
    try:
        found = path.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be searched
        raise InputError(f"{path}: cannot be read ({line_of(error)})") from None
    if not found:
        what = "a folder; expected a model file" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}")
    readers = {".pt": _read_pt, ".safetensors": _read_safetensors}
    if path.suffix not in readers:
        raise InputError(f"{path}: expected a model file that ends in .pt or .safetensors")
    text, tensors = readers[path.suffix](path)
    try:
        document = json.loads(text)
        network = _unpack(document, tensors)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # a document of unknown shape may fail anywhere
        raise InputError(f"{path}: not a {SCHEMA} document ({line_of(error)})") from None
    return network


def _save_safetensors(tensors: dict[str, Tensor], path: Path, text: str) -> None:
    try:
        save_file(tensors, path, metadata={"certlip": text})
    except SafetensorError as error:
        raise OSError(line_of(error)) from None


def _pack(network: Network) -> tuple[dict[str, Any], dict[str, Tensor]]:
    tensors: dict[str, Tensor] = {}
    blocks = []
    for k, block in enumerate(network.blocks):
        for name, array in block.arrays().items():
            tensors[f"block{k}.{name}"] = array.clone()  # safetensors refuses shared storage
        entry: dict[str, Any] = {"kind": block.kind, "meta": block.meta()}
        origin = getattr(block, "origin", None)
        if origin is not None:
            entry["origin"] = {"family": origin.family, "scalars": origin.scalars}
            for name, vector in origin.vectors.items():
                tensors[f"block{k}.origin.{name}"] = vector.clone()
        blocks.append(entry)
    document = {
        "schema": SCHEMA,
        "certlip": __version__,
        "sha256": network.sha256(),
        "blocks": blocks,
        "history": list(network.history),
    }
    return document, tensors


def _unpack(document: dict[str, Any], tensors: dict[str, Tensor]) -> Network:
    if document["schema"] != SCHEMA:
        raise InputError(f"schema {document['schema']!r}: expected {SCHEMA!r}")
    left = dict(tensors)
    blocks = [_block(k, entry, left) for k, entry in enumerate(document["blocks"])]
    if left:
        raise InputError(f"tensor {next(iter(left))!r} belongs to no block")
    network = Network(blocks, document["history"])
    if network.sha256() != document["sha256"]:
        raise InputError(
            f"the numbers hash to {network.sha256()[:12]}…, the file says "
            f"{str(document['sha256'])[:12]}…: it was changed after it was written"
        )
    return network


def _block(k: int, entry: dict[str, Any], left: dict[str, Tensor]) -> Block:
    """Block k of the document; takes its tensors out of `left`."""
    kind = entry["kind"]
    if kind not in KINDS:
        raise InputError(f"block {k} has the kind {kind!r}: expected one of {', '.join(KINDS)}")
    prefix = f"block{k}."
    arrays = {
        name[len(prefix) :]: left.pop(name)
        for name in [*left]
        if name.startswith(prefix) and not name.startswith(f"{prefix}origin.")
    }
    try:
        block = KINDS[kind].from_parts(arrays, entry["meta"])
    except InputError as error:
        raise InputError(f"block {k}: {error}") from None
    if "origin" not in entry:
        return block
    if not isinstance(block, Equilibrium | ConvEquilibrium):
        raise InputError(f"block {k}: a {kind} block has no origin")
    prefix += "origin."
    vectors = {n[len(prefix) :]: left.pop(n) for n in [*left] if n.startswith(prefix)}
    scalars = {str(key): float(value) for key, value in entry["origin"]["scalars"].items()}
    origin = Origin(str(entry["origin"]["family"]), scalars, vectors)
    return replace(block, origin=origin)


def _read_pt(path: Path) -> tuple[str, dict[str, Tensor]]:
    content = load_plain(path)
    if not (
        isinstance(content, dict)
        and isinstance(content.get("document"), str)
        and isinstance(content.get("tensors"), dict)
        and all(isinstance(v, Tensor) for v in content["tensors"].values())
    ):
        raise InputError(f"{path}: a torch file, but not one written by certlip")
    for name, tensor in content["tensors"].items():
        if not owns_numbers(tensor):
            raise InputError(f"{path}: {name} is not a dense tensor with its own numbers")
    return content["document"], {str(k): v for k, v in content["tensors"].items()}


def _read_safetensors(path: Path) -> tuple[str, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get("certlip")
            names = file.keys()  # an open safetensors file is no mapping
            tensors = {name: file.get_tensor(name) for name in names}
    except Exception as error:  # dtypes that torch lacks included
        raise InputError(f"{path}: not a readable safetensors file ({line_of(error)})") from None
    if text is None:
        raise InputError(f"{path}: a safetensors file, but not one written by certlip")
    return text, tensors
