"""The keys of a settings file: the options of the commands, by their long names.

The parser takes what the file says as defaults (`default_map`), so that options of the command line and of
the environment come before it.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import typer

from certlip.errors import InputError

from . import config as settings_file
from .config import Config

COMMON = ("seed", "device", "threads", "quiet", "verbose", "data-dir", "gates")
"""Keys outside the tables: for every command that has them, `gates` for certify alone."""
NOT_KEYS = ("config", "print-config", "debug", "json", "help")
"""Options of one command line: they say nothing about a project."""
JOINED = {"gates": "; "}
"""Options of one text that a file may give as a list of texts."""
KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path, as a text",
}
kinds: dict[str, dict[str, type]] = {}
"""For every command the type of every parameter; `session.command` fills it."""


def kind_of(annotation: Any) -> type:
    """`int` of `Annotated[int | None, …]`, `str` of a list of texts."""
    while get_args(annotation):
        annotation = get_args(annotation)[0]
    return annotation


@dataclass(frozen=True)
class Key:
    """One key of a command: the parameter it sets, and what it takes."""

    parameter: str
    kind: type
    several: bool

    def read(self, config: Config, where: str, key: str, value: Any) -> Any:
        """The value for the parser.

        Raises:
            InputError: of another type.
        """
        several = self.several or key in JOINED
        parts = value if several and isinstance(value, list) else [value]
        for part in parts:
            if not _is_a(part, self.kind):
                many = f"{KINDS[self.kind]}, or a list of them" if several else KINDS[self.kind]
                shown = repr(part) if len(repr(part)) <= 60 else f"{repr(part)[:57]}…"
                raise InputError(f"{config.shown}: {where}{key} is {shown}; expected {many}")
        parts = [self._placed(config, key, part) for part in parts]
        if key in JOINED:
            return JOINED[key].join(parts)
        return parts if self.several else parts[0]

    def _placed(self, config: Config, key: str, value: Any) -> Any:
        """Paths are relative to the file's folder, those inside of names of datasets as well."""
        if self.kind is Path and not re.fullmatch(r"[\w.]+:[\w.]+", value):
            return config.placed(value)
        if key == "dataset" and value.startswith(("folder:", "npz:")):
            kind, _, path = value.partition(":")
            return f"{kind}:{config.placed(path)}"
        if key == "recipe" and value.endswith(".toml"):
            return config.placed(value)
        return value


def keys_of(command: Any) -> dict[str, Key]:
    """The keys of a command of the parser."""
    found = {}
    for parameter in command.params:
        kind = kinds[command.name].get(parameter.name)
        long = [name for name in parameter.opts if name.startswith("--")]
        key = long[0].removeprefix("--") if long else parameter.name
        if kind is not None and key not in NOT_KEYS:
            found[key] = Key(parameter.name, kind, bool(getattr(parameter, "multiple", False)))
    return found


def defaults(config: Config, commands: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the file says, per command and parameter. All of it is checked, whatever command runs.

    Raises:
        InputError: an unknown key, with the nearest name, or a value of another type.
    """
    keys = {name: keys_of(command) for name, command in commands.items()}
    found: dict[str, dict[str, Any]] = {name: {} for name in commands}
    tables = {k: v for k, v in config.content.items() if k in commands}
    for key, value in config.content.items():
        if key in tables:
            continue
        if key not in COMMON:
            own = [f"[{name}] {key}" for name in commands if key in keys[name]]
            hint = f"it belongs into a table: {' or '.join(own)}" if own else ""
            raise InputError(
                f"{config.shown}: unknown key '{key}'; {hint or _nearest(key, [*COMMON, *keys])}"
            )
        for name in commands if key != "gates" else ("certify",):
            if key in keys[name]:
                found[name][keys[name][key].parameter] = keys[name][key].read(
                    config, "", key, value
                )
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(f"{config.shown}: {name} is {str(table)[:40]!r}; expected a table")
        for key, value in table.items():
            if key not in keys[name]:
                near = _nearest(key, keys[name])
                raise InputError(f"{config.shown}: [{name}] unknown key '{key}'; {near}")
            own = keys[name][key]
            found[name][own.parameter] = own.read(config, f"[{name}] ", key, value)
    return found


def name_variables(commands: Mapping[str, Any]) -> None:
    """Gives every key its variables: `CERTLIP_CERTIFY_LIMIT`, and `CERTLIP_SEED` for common ones."""
    for name, command in commands.items():
        names = {own.parameter: key for key, own in keys_of(command).items()}
        names["config"] = "config"
        for parameter in command.params:
            key = names.get(parameter.name)
            if key is not None:
                parameter.envvar = list(_variables(name, key))
                parameter.show_envvar = False  # one rule for all of them; help would double


def check_environment(commands: Mapping[str, Any]) -> None:
    """Refuses a variable that sets nothing: a gate that is misspelt would never fail.

    Raises:
        InputError: a variable CERTLIP_… that no command reads, with the nearest name.
    """
    known = {
        variable
        for name, command in commands.items()
        for key in (*keys_of(command), "config")
        for variable in _variables(name, key)
    }
    for variable in sorted(os.environ):
        if variable.startswith("CERTLIP_") and variable not in known:
            raise InputError(f"environment: unknown {variable}; {_nearest(variable, known)}")


def apply(context: typer.Context, given: Path | None) -> Path | None:
    """Callback of `--config`, before all other options: what the file says becomes their default."""
    if context.resilient_parsing or context.parent is None:
        return given
    commands: Mapping[str, Any] = getattr(context.parent.command, "commands", {})
    check_environment(commands)
    config = settings_file.read(given) if given else settings_file.find(Path.cwd())
    if config is not None:
        context.default_map = defaults(config, commands)[str(context.command.name)]
        context.obj = config
    return given


def _variables(command: str, key: str) -> tuple[str, ...]:
    own = f"CERTLIP_{command}_{key}".replace("-", "_").upper()
    common = f"CERTLIP_{key}".replace("-", "_").upper()
    return (own, common) if key in (*COMMON, "config") and key != "gates" else (own,)


def _nearest(name: str, known: Iterable[str]) -> str:
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(choices)}"


def _is_a(value: Any, kind: type) -> bool:
    if kind is float:
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        )
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is bool:
        return isinstance(value, bool)
    return isinstance(value, str)
