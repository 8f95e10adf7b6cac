"""What readers of foreign files share: scalars that a file does not store, state dicts.

Whatever is read is a finite float64 tensor of a known shape, or the error names the file and the entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from certlip.blocks import Network, Normalize
from certlip.blocks.base import Block
from certlip.blocks.torch_file import line_of, load_plain, owns_numbers
from certlip.errors import InputError

#: How the images of MNIST are normalised in all of these experiments.
MNIST_SCALE = {"mean": 0.1307, "std": 0.3081}

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_scalars(
    path: Path, format_name: str, values: Mapping[str, float], needed: Mapping[str, str]
) -> None:
    """Checks `--set`: the scalars that are needed are there and positive, and no others but mean and std.

    Args:
        needed: An example value of each scalar that the format does not store.

    Raises:
        InputError: a scalar that is unknown, missing or not a positive finite number.
    """
    known = [*needed, "mean", "std"]
    for name in sorted(values):
        if name not in known:
            listed = f"{', '.join(known[:-1])} and {known[-1]}"
            raise InputError(f"--set {name}: {format_name} takes {listed}")
    for name, example in needed.items():
        if name not in values:
            raise InputError(
                f"{path}: the file does not store {name}; give it as --set {name}={example}"
            )
        if not 0.0 < values[name] < float("inf"):
            raise InputError(f"--set {name}={values[name]}: expected a positive finite number")


def normalization(values: Mapping[str, float], default: Mapping[str, float], d: int) -> Normalize:
    """(x − mean)/std of d numbers, with the mean and std of `--set` or else of `default`."""
    ones = torch.ones(d, dtype=torch.float64)
    mean, std = (values.get(name, default[name]) for name in ("mean", "std"))
    return Normalize(mean * ones, std * ones)


def converted(
    path: Path, format_name: str, values: Mapping[str, float], blocks: list[Block]
) -> Network:
    """The network, with where it comes from in its history."""
    entry = {
        "step": "convert",
        "format": format_name,
        "source": path.name,
        "values": dict(values),
    }
    return Network(blocks, [entry])


def load_state_dict(
    path: Path, prefixes: tuple[str, ...] = (), under: str | None = None
) -> dict[str, Tensor]:
    """The tensors of a torch state dict by their names without the prefixes, as they are stored.

    Args:
        prefixes: Each is taken away once, in this order.
        under: The entry of a checkpoint that may hold the state dict beside the state of its training.

    Raises:
        InputError: no such file, not readable, a pickle that needs code (refused, never executed), or not
            a dict of dense floating-point tensors.
    """
    check_file(path)
    content = load_plain(path)
    if under is not None and isinstance(content, dict) and under in content:
        content = content[under]
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path}: a {type(content).__name__}: expected a dict of tensors")
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        name = str(key)
        for prefix in prefixes:
            name = name.removeprefix(prefix)
        if not isinstance(value, Tensor) or value.is_nested or value.dtype not in _FLOATS:
            kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"{path}: {str(key)!r} is {kind}: expected a floating-point tensor")
        if not owns_numbers(value):
            raise InputError(f"{path}: {str(key)!r} is not a dense tensor with its own numbers")
        if name in tensors:
            raise InputError(f"{path}: {name!r} is there twice")
        tensors[name] = value.detach()
    return tensors


def parameters(
    path: Path, tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int | str, ...]]
) -> list[Tensor]:
    """The parameters of these shapes in float64, in order; letters in shapes stand for one number each.

    Raises:
        InputError: an entry is missing, superfluous, of another shape, or not finite.
    """
    for name in tensors:
        if name not in shapes:
            raise InputError(f"{path}: unexpected entry {name!r}; expected {', '.join(shapes)}")
    sizes: dict[str, int] = {}
    found = []
    for name, shape in shapes.items():
        if name not in tensors:
            raise InputError(f"{path}: no entry {name!r}; expected {', '.join(shapes)}")
        own = tuple(tensors[name].shape)
        if len(own) == len(shape):
            for letter, side in zip(shape, own, strict=True):
                if isinstance(letter, str):
                    sizes.setdefault(letter, side)
        wanted = tuple(sizes.get(side, 0) if isinstance(side, str) else side for side in shape)
        if own != wanted or 0 in own:
            says = ", ".join(str(sizes.get(str(side), side)) for side in shape)
            raise InputError(f"{path}: {name} has shape {own}: expected ({says})")
        found.append(finite(path, name, tensors[name].double()))
    return found


def finite(path: Path, name: str, value: Tensor) -> Tensor:
    """The tensor.

    Raises:
        InputError: an entry is not finite.
    """
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"{path}: {name} has an entry that is not finite: expected finite numbers")
    return value


def check_file(path: Path) -> None:
    """Raises an `InputError` if there is no such file."""
    try:
        found = path.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be searched
        raise InputError(f"{path}: cannot be read ({line_of(error)})") from None
    if not found:
        raise InputError(f"{path}: no such file")
