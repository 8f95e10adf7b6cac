"""Settings files: the nearest `certlip.toml`, or `pyproject.toml` with a table `[tool.certlip]`."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certlip.errors import InputError

OWN, SHARED = "certlip.toml", "pyproject.toml"
LARGEST = 1 << 20
"""Bytes; a longer file is none that somebody wrote by hand."""


@dataclass(frozen=True)
class Config:
    """What a settings file holds, as it is written there."""

    path: Path
    content: Mapping[str, Any]

    @property
    def shown(self) -> str:
        """The path as messages and documents show it: relative where it lies below the current folder."""
        relative = os.path.relpath(self.path)
        return str(self.path) if relative.startswith("..") else relative

    def placed(self, path: str) -> str:
        """A path of the file, which is relative to the folder of the file, for the current folder."""
        if Path(path).is_absolute() or self.path.parent == Path.cwd():
            return path
        return os.path.relpath(self.path.parent / path)

    def line_of(self, text: str) -> int:
        """The first line with that text as a TOML string, else the first with `gates`, else 1."""
        lines = self.path.read_text("utf-8", "replace").splitlines()
        for wanted in (json.dumps(text, ensure_ascii=False), f"'{text}'", "gates"):
            for number, line in enumerate(lines, 1):
                if wanted in line and not line.lstrip().startswith("#"):
                    return number
        return 1


def find(start: Path) -> Config | None:
    """The settings file of the nearest folder above `start`, or there, that has one.

    Raises:
        InputError: a file on the way that cannot be read.
    """
    for folder in (start, *start.parents):
        if (folder / OWN).is_file():
            return read(folder / OWN)
        if (folder / SHARED).is_file():
            content = _parsed(folder / SHARED)
            if "certlip" in _table(folder / SHARED, content.get("tool", {}), "tool"):
                return read(folder / SHARED)
    return None


def read(path: Path) -> Config:
    """One settings file; of a `pyproject.toml` its table `[tool.certlip]`.

    Raises:
        InputError: not readable, not TOML, or no such table.
    """
    content = _parsed(path)
    if path.name == SHARED:
        tool = _table(path, content.get("tool", {}), "tool")
        if "certlip" not in tool:
            raise InputError(f"{path}: has no table [tool.certlip]")
        content = _table(path, tool["certlip"], "tool.certlip")
    return Config(path.absolute(), content)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > LARGEST:
        raise InputError(f"{path}: has more than {LARGEST} bytes; expected settings")
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError(f"{path}: not TOML (not UTF-8)") from None
    except RecursionError:
        raise InputError(f"{path}: not TOML (nested too deeply)") from None
    except ValueError as error:
        raise InputError(f"{path}: not TOML ({str(error)[:160]})") from None


def _table(path: Path, value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {name} is {str(value)[:40]!r}; expected a table")
    return value
