"""Parts of the settings that come in kinds: a table `{name = "…", option = …}` is one object of a registry.

Losses, schedules and augmentations are frozen dataclasses: their fields are their options, checked in
`__post_init__`. A new kind is its file and a line in its registry.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from certlip.errors import InputError


class Part(Protocol):
    """A frozen dataclass with the name that it has in its registry."""

    name: ClassVar[str]


P = TypeVar("P", bound=Part)


def from_table(what: str, registry: Mapping[str, type[P]], table: Mapping[str, Any]) -> P:
    """The object that a table describes.

    Raises:
        InputError: no name or an unknown one, an unknown option, a value that the kind refuses.
    """
    if not isinstance(table, Mapping):
        raise InputError(f"{what} = {table!r}: expected a table with a name")
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        near = difflib.get_close_matches(str(name), registry, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(registry)}"
        raise InputError(f"{what} {name!r}: there is none; {hint}")
    kind = registry[name]
    assert is_dataclass(kind)
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        expected = ", ".join(known) or "no options"
        raise InputError(f"{what} {name}: unknown option {unknown[0]!r}; expected {expected}")
    return kind(**options)


def as_table(part: Part) -> dict[str, Any]:
    """The table of an object."""
    assert is_dataclass(part)
    assert not isinstance(part, type)
    return {"name": part.name, **asdict(part)}


def require(what: str, value: float, *, above: float | None = None, least: float = 0.0) -> None:
    """Raises an `InputError` unless the value is finite and > `above`, or ≥ `least`."""
    number = isinstance(value, (int, float))
    above_it = number and (value > above if above is not None else value >= least)
    if not (above_it and value < float("inf")):
        expected = f"> {above:g}" if above is not None else f"≥ {least:g}"
        raise InputError(f"{what} = {value!r}: expected a number {expected}")
