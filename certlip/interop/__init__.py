"""Models of other code bases. To add a format: its file, a line here, a test row."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from certlip.blocks import Network
from certlip.errors import InputError
from certlip.interop.factory import from_factory as from_factory
from certlip.interop.factory import is_factory as is_factory
from certlip.interop.factory import read_torch
from certlip.interop.lben_2021 import read_lben_2021
from certlip.interop.lben_2023 import read_lben_2023
from certlip.interop.lipsdp import read_lipsdp
from certlip.interop.mondeq_2020 import read_mondeq_2020
from certlip.interop.onnx import read_onnx as read_onnx
from certlip.interop.semimondeq import read_semimondeq
from certlip.interop.sll_2023 import read_sll_2023
from certlip.interop.torch_module import from_torch as from_torch

READERS: dict[str, Callable[[Path, dict[str, float]], Network]] = {
    "semimondeq": read_semimondeq,
    "lipsdp": read_lipsdp,
    "lben-2021": read_lben_2021,
    "mondeq-2020": read_mondeq_2020,
    "sll-2023": read_sll_2023,
    "lben-2023": read_lben_2023,
    "onnx": read_onnx,
    "torch": read_torch,
}


def convert(source: str | Path, format_name: str, values: dict[str, float]) -> Network:
    """Reads `source`; `values` are the scalars that the format does not store (`--set m=20`).

    Raises:
        InputError: unknown format or scalar, or a file that is not of the format.
    """
    if format_name not in READERS:
        near = difflib.get_close_matches(format_name, READERS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(READERS)}"
        raise InputError(f"--from {format_name!r}: no such format; {hint}")
    return READERS[format_name](Path(source), values)
