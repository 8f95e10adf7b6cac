"""`--print-config`: every setting of a command, and where it comes from."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table
from rich.text import Text

from certlip.errors import InputError

from .config_keys import keys_of

if TYPE_CHECKING:
    from .config import Config
    from .session import Session


def source_of(context: typer.Context, parameter: str) -> str:
    """`command line`, the environment's variable, the settings file, or `default`."""
    config: Config | None = context.obj
    source = getattr(context.get_parameter_source(parameter), "name", "DEFAULT")
    if source == "COMMANDLINE":
        return "command line"
    if source == "ENVIRONMENT":
        [own] = [p for p in context.command.params if p.name == parameter]
        names = [name for name in own.envvar or () if os.environ.get(name)]
        return f"environment {names[0]}" if names else "environment"
    if source == "DEFAULT_MAP" and config is not None:
        return config.shown
    return "default"


def show(session: Session, context: typer.Context) -> None:
    """Prints the merged settings, and emits them with --json."""
    config: Config | None = context.obj
    rows: dict[str, dict[str, Any]] = {}
    for key, own in keys_of(context.command).items():
        value = context.params.get(own.parameter)
        plain = value if isinstance(value, bool | int | float | list | None) else str(value)
        rows[key] = {"value": plain, "from": source_of(context, own.parameter)}
    table = Table("key", "value", "from", box=None, pad_edge=False)
    for key, row in rows.items():
        value = "not set" if row["value"] is None else str(row["value"])
        table.add_row(*(Text(cell) for cell in (key, value, row["from"])))
    session.say(f"file: {'none found' if config is None else config.shown}", table)
    session.emit(
        {
            "schema": "certlip/config/1",
            "command": str(context.command.name),
            "file": None if config is None else config.shown,
            "config": rows,
            "exit_code": 0,
        }
    )


def given_by_file(context: typer.Context) -> frozenset[str]:
    """The parameters whose value the settings file gave."""
    config: Config | None = context.obj
    if config is None:
        return frozenset()
    return frozenset(name for name in context.params if source_of(context, name) == config.shown)


def with_source(error: InputError, context: typer.Context) -> InputError:
    """An error about an option says where its value comes from, if not from the command line."""
    found = re.match(r"--([\w-]+)", str(error))
    key = keys_of(context.command).get(found[1]) if found else None
    source = "command line" if key is None else source_of(context, key.parameter)
    return error if source in ("command line", "default") else type(error)(f"{source}: {error}")
