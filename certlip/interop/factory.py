"""`package.module:factory` on the command line: a callable that returns a module certlip can freeze."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from certlip.blocks import Network
from certlip.errors import CertlipError, InputError
from certlip.interop.torch_module import from_torch

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_factory(name: str) -> bool:
    """Whether it has the form `package.module:factory`: names and dots, never an expression."""
    return _NAME.fullmatch(name) is not None


def read_torch(path: Path, values: dict[str, float]) -> Network:
    """The network of a factory, as a format of `certlip convert`.

    Args:
        values: `mean` and `std` of the raw input, if its normalisation is not in the module.
    """
    return from_factory(str(path), values)


def from_factory(name: str, values: Mapping[str, float] | None = None) -> Network:
    """The network of `factory()`, imported from the search path or the current folder.

    The factory returns a torch module, whose attribute `input_shape` is read if there is one, a pair
    (module, input_shape), or a `Network`.

    Raises:
        InputError: not of that form, not importable, or it raises or returns something else.
        UnsupportedError: a module that cannot be frozen.
    """
    if not is_factory(name):
        raise InputError(f"{name}: no such file or factory; expected package.module:factory")
    values = values or {}
    for unknown in sorted(set(values) - {"mean", "std"}):
        raise InputError(f"--set {unknown}: torch takes mean and std")
    made = _called(name)
    module, shape = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if isinstance(module, Network) and shape is None:
        if values:
            raise InputError(f"{name}: a Network holds its normalisation; --set has no place in it")
        return module
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{name}: returned a {type(made).__name__}: expected a torch module, a pair (module, "
            "input_shape) or a Network"
        )
    if shape is None:
        shape = getattr(module, "input_shape", None)
    try:
        return from_torch(module, shape, mean=values.get("mean"), std=values.get("std"))
    except CertlipError as error:
        raise type(error)(f"{name}: {error}") from None


def _called(name: str) -> Any:
    """What the factory returns; its code runs, and may raise anything."""
    where, _, attribute = name.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(where)
        for part in attribute.split("."):
            found = getattr(found, part)
        if not callable(found):
            raise InputError(f"{name}: a {type(found).__name__}: expected a callable")
        return found()
    except CertlipError:
        raise
    except (Exception, SystemExit) as error:
        line = (str(error).strip() or "no text").splitlines()[0]
        raise InputError(f"{name}: {type(error).__name__}: {line[:160]}") from None
    finally:
        with contextlib.suppress(ValueError):  # the factory may have taken it out
            sys.path.remove(here)
