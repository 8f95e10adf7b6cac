"""`certlip doctor`: what this machine can do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from .data import entry, in_words
from .options import DataDir
from .session import Session, command

PACKAGES = ("torch", "numpy", "scipy", "safetensors", "scikit-learn", "matplotlib", "jinja2")
SOLVER_PACKAGES = ("cvxpy", "clarabel", "scs", "mosek")


def doctor(session: Session, data_dir: DataDir = None) -> int:
    """Report versions, devices, solvers, the MOSEK licence and dataset folders."""
    import torch

    from certlip._version import __version__
    from certlip.data import READERS
    from certlip.lmi.solvers import SOLVERS

    session.prepare_torch()
    facts: dict[str, Any] = {
        "certlip": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "device": session.device,
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "packages": {name: _version(name) for name in PACKAGES},
        "solvers": {name: _version(name) for name in SOLVER_PACKAGES},
        "mosek licence": "no" if SOLVERS["mosek"].missing() else "yes",
        "multiplier solvers": {n: kind.missing() or "yes" for n, kind in SOLVERS.items()},
        "datasets": {name: in_words(entry(name, data_dir)) for name in READERS},
    }
    table = Table("what", "value", title="certlip doctor")
    for key, value in facts.items():
        if isinstance(value, dict):
            for name, part in value.items():
                table.add_row(
                    f"{key}: {name}", Text("not installed" if part is None else str(part))
                )
        else:
            table.add_row(
                key, ", ".join(value) or "none" if isinstance(value, list) else str(value)
            )
    session.say(table)
    session.emit({"schema": "certlip/doctor/1", **facts})
    return 0


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def register(app: typer.Typer) -> None:
    command(app, "doctor")(doctor)
