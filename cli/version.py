"""What `certlip --version` says: the version, the commit it was built from, and what it runs with."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform

from certlip import __version__


def version_line() -> str:
    """One line; packages are looked up, not imported."""
    found = [f"commit {_commit()}", f"Python {platform.python_version()}"]
    for name in ("torch", "numpy"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return f"certlip {__version__} ({', '.join(found)})"


def _commit() -> str:
    """That of the wheel; a checkout that is run as it lies says so."""
    try:
        return str(importlib.import_module("certlip._build").COMMIT)
    except (ImportError, AttributeError):
        return "unknown, a source tree"
