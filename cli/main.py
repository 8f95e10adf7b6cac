"""The entry point `certlip`: registers the commands and turns errors into one line and an exit
code.

0 holds / done · 1 does not hold · 2 wrong input · 3 inconclusive · 4 internal error · 5 unsound ·
130 interrupted.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from certlip.errors import CertlipError

from .config_keys import name_variables
from .config_shown import source_of
from .version import version_line

app = typer.Typer(
    name="certlip",
    help="Train, convert and certify Lipschitz-bounded networks and deep equilibrium models.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=(
        "Exit codes: 0 holds / done, 1 does not hold, 2 wrong usage or input, 3 inconclusive, "
        "4 internal error, 5 unsound, 130 interrupted."
    ),
)

COMPLETE = "_CERTLIP_COMPLETE"
"""Set by the shell when it completes a line."""
NO_MEMORY = re.compile(r"can't allocate memory|out of memory")
"""What torch says, in an error of no kind of its own."""
COMPLETION = ("--show-completion", "--install-completion")
RESUMABLE = ("train", "finetune")
COMMANDS = (
    "demo",
    "train",
    "finetune",
    "check_lmi",
    "lipschitz",
    "certify",
    "attack",
    "verify",
    "report",
    "compare",
    "inspect",
    "convert",
    "doctor",
    "data",
    "init",
)


def _version(show: bool) -> None:
    if show:
        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show version and build."),
    ] = False,
) -> None:
    del version


for _name in COMMANDS:
    importlib.import_module(f".{_name}", __package__).register(app)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; never raises."""
    debug = "--debug" in arguments
    try:
        parser: Any = typer.main.get_command(app)
        name_variables(parser.commands)
        if "--print-config" in arguments:  # then nothing needs to be given
            for parameter in (p for each in parser.commands.values() for p in each.params):
                parameter.required = False
        result = parser.main(list(arguments), "certlip", standalone_mode=False)
        if result == 130:  # the parser turns an interrupt into an exit
            return _interrupted(arguments)
        return result if isinstance(result, int) else 0
    except CertlipError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _interrupted(arguments)
    except SystemExit as stop:
        if {"--help", "--version"} & {*arguments}:  # whoever read them has gone
            return 0
        if COMPLETE in os.environ or {*COMPLETION} & {*arguments[:1]}:  # the shell has its answer
            return stop.code if isinstance(stop.code, int) else 0
        return _fail(f"internal error: exit {stop.code}", 4)  # an exit of others proves nothing
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is not None:  # the parser's usage errors
            if type(error).__name__ != "NoArgsIsHelpError":
                return _fail(_from_environment(error) or _with_value(message(), arguments), 2)
            typer.echo(message(), err=True)
            return 2
        if type(error).__name__ == "Abort":
            return _interrupted(arguments)
        if debug:
            traceback.print_exc()
        if isinstance(error, OSError) and error.filename is not None:
            # a name that is too long, a folder that may not be searched: wherever it was looked at first
            return _fail(f"{error.filename}: cannot be used ({error.strerror})", 2)
        if isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
            return _fail(f"out of memory: {str(error)[-160:] or 'no more could be had'}", 3)
        hint = "" if debug else "; --debug shows where"
        return _fail(f"internal error: {type(error).__name__}: {error}{hint}", 4)


def _with_value(message: str, arguments: Sequence[str]) -> str:
    """A usage error with the value that was given, which the parser leaves out."""
    found = re.match(r"Invalid value for '(--[\w-]+)'", message)
    for given, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, value = given.partition("=")
        if found and name == found[1]:
            return f"{message} (got {value if equals else following!r})"
    return message


def _from_environment(error: Any) -> str | None:
    """A usage error about a variable of the environment, with its name and value."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if context is None or parameter is None:
        return None
    source = source_of(context, parameter.name)
    name = source.removeprefix("environment ")
    return None if name == source else f"{source}: {error.message} (got {os.environ[name]!r})"


def _interrupted(arguments: Sequence[str]) -> int:
    resumable = arguments and arguments[0] in RESUMABLE
    kept = "; what was done is kept, --resume goes on" if resumable else ""
    return _fail(f"interrupted{kept}", 130)


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    if sys.stderr is not None:  # with stderr closed, print would take stdout
        with contextlib.suppress(BrokenPipeError):
            print(f"certlip: {line}", file=sys.stderr)
    return code


def main() -> None:
    """Console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
