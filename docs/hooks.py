"""Pages that mkdocs builds from the program itself: every command with its arguments and options."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.files import Files

PAGE = "commands.md"
HEAD = """# Commands

Every command with all of its options, as `certlip COMMAND --help` prints them; [the guide](cli.md) says
what they mean.
Every option `--some-name` may also be set as `some-name` in a [settings file](cli.md#settings-files) or as
`CERTLIP_COMMAND_SOME_NAME` in the environment.
"""


def on_files(files: Files, config: Any) -> Files:
    """Adds the page of commands."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=commands()))
    return files


def commands() -> str:
    """The page, in Markdown."""
    import typer

    main = importlib.import_module("certlip_cli.main")
    shared = importlib.import_module("certlip_cli.shared_options").SHARED
    parsers: Any = typer.main.get_command(main.app)
    parts = [
        HEAD,
        "## Options of every command\n",
        _table(parsers.commands["certify"], shared, True),
    ]
    for name in main.COMMANDS:
        name = name.replace("_", "-")
        parser = parsers.commands[name]
        arguments = " ".join(_place(p) for p in parser.params if p.param_type_name == "argument")
        parts.append(f"## certlip {name}\n")
        parts.append(f"    certlip {name} {arguments}".rstrip() + " [OPTIONS]\n")
        parts.append(parser.help.strip() + "\n")
        parts.append(_table(parser, shared, False))
    return "\n".join(parts)


def _table(parser: Any, shared: Any, of_all: bool) -> str:
    rows = []
    context = parser.make_context(parser.name, [], resilient_parsing=True)
    for parameter in parser.params:
        if (parameter.name in shared) is not of_all or parameter.name == "help":
            continue
        if parameter.param_type_name == "argument":
            rows.append(f"| `{_place(parameter)}` | {_cell(parameter.help or '')} |")
        else:
            name, text = parameter.get_help_record(context)
            needed = " [required]" if parameter.required and "[required]" not in text else ""
            rows.append(f"| `{name}` | {_cell(text + needed)} |")
    head = ["| option | what it does |", "|---|---|"]
    return "\n".join([*head, *rows]) + "\n" if rows else ""


def _place(argument: Any) -> str:
    return argument.metavar or argument.name.upper()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")
