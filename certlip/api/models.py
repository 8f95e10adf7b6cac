"""Models, however they come: files, ONNX, factories, torch modules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from certlip.blocks import Network
from certlip.blocks import load as load_file
from certlip.errors import InputError
from certlip.interop import from_factory, from_torch, is_factory, read_onnx
from certlip.interop.lowering import Numbers

#: What stands for a model: a network, what becomes one, or where it lies.
Model = Network | nn.Module | str | Path


def load(source: str | Path) -> Network:
    """The network of `model.pt`, `model.safetensors`, an ONNX file or `package.module:factory`.

    Raises:
        InputError: not a file certlip reads, or a factory that gives no model.
        UnsupportedError: a layer or operator that has no rule.
    """
    path = Path(source)
    if is_factory(str(source)) and path.suffix not in (".pt", ".safetensors", ".onnx", ".mat"):
        return from_factory(str(source))
    if path.suffix == ".onnx":
        return read_onnx(path, {})
    if path.suffix == ".mat":
        raise InputError(
            f"{path}: a MATLAB file; convert it first: "
            "certlip convert FILE --from semimondeq --set m=20 --out model.pt"
        )
    return load_file(path)


def freeze(
    module: nn.Module,
    input_shape: Sequence[int] | None = None,
    *,
    mean: Numbers | None = None,
    std: Numbers | None = None,
) -> Network:
    """The network of a torch module: its function in float64, as numbers that are never changed again.

    Args:
        module: Layers with a rule, one after the other, or a model of certlip.
        input_shape: Of one input, such as (1, 28, 28), where the first layer does not say it.
        mean, std: Normalisation of the raw input: one number, or one per channel.

    Raises:
        InputError: the parts do not fit, a weight is not finite, or the shape is needed and not given.
        UnsupportedError: something certlip has no rule for, named with its place in the module.
    """
    return from_torch(module, input_shape, mean=mean, std=std)


def network_of(model: Model) -> Network:
    """The network that a model stands for."""
    if isinstance(model, Network):
        return model
    return freeze(model) if isinstance(model, nn.Module) else load(model)


def model_entry(path: str | Path, network: Network) -> dict[str, Any]:
    """The `model` of a JSON document: where it lies, which function it is, its blocks."""
    return {
        "path": str(path),
        "sha256": network.sha256(),
        "blocks": [
            {"name": f"block{k}", "kind": block.kind, "shape": block.describe()}
            for k, block in enumerate(network.blocks)
        ],
    }


def path_of(model: Model) -> str:
    """Where a model lies, in words if it is no file."""
    return str(model) if isinstance(model, str | Path) else "in memory"
