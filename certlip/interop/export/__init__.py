"""Explicit networks for runtimes of others. To add a format: its file, a line here, a test row."""

from __future__ import annotations

import difflib

from certlip.errors import InputError
from certlip.interop.export.base import DTYPES as DTYPES
from certlip.interop.export.base import Exporter as Exporter
from certlip.interop.export.onnx_file import OnnxExporter
from certlip.interop.export.torch_source import TorchExporter

EXPORTERS: dict[str, Exporter] = {"torch": TorchExporter(), "onnx": OnnxExporter()}


def exporter(name: str) -> Exporter:
    """The format of that name.

    Raises:
        InputError: no such format.
    """
    if name not in EXPORTERS:
        near = difflib.get_close_matches(name, EXPORTERS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected {' or '.join(EXPORTERS)}"
        raise InputError(f"--to {name!r}: no such format; {hint}")
    return EXPORTERS[name]
