"""The options that every command takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import config_keys

Seed = Annotated[int, typer.Option(help="Seed of everything random.", show_default=True)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:i.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all by default.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="More on the way.")]
Debug = Annotated[bool, typer.Option("--debug", help="Tracebacks of internal errors.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        is_eager=True,
        callback=config_keys.apply,
        help="Settings file; the nearest certlip.toml or [tool.certlip] of pyproject.toml by default.",
    ),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print the settings and where each comes from.")
]

SHARED = {
    "seed": (Seed, 0),
    "device": (Device, "auto"),
    "threads": (Threads, None),
    "json_output": (Json, False),
    "quiet": (Quiet, False),
    "verbose": (Verbose, False),
    "debug": (Debug, False),
    "config": (ConfigFile, None),
    "print_config": (PrintConfig, False),
}
OF_MAIN = ("debug", "config", "print_config")
"""Shared options that commands see nothing of."""
