"""What every command shares: seed, device, threads, verbosity, and where output goes.

Human output goes to stderr; with `--json` exactly one document goes to stdout.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperCommand

from certlip import __version__
from certlip.errors import InputError, UnsoundError

from . import config_keys
from .config import Config
from .config_shown import given_by_file, show, with_source
from .device import resolve_device
from .shared_options import OF_MAIN, SHARED


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read along has gone: the work goes on unseen, and its exit code stands."""
        self.quiet = True
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Lets what is still buffered go nowhere, so that the exit does not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@dataclass
class Session:
    """The shared options, resolved, and the ways to talk to the user."""

    seed: int
    device: str
    threads: int | None
    json_output: bool
    quiet: bool
    verbose: bool
    config: Config | None = None
    """The settings file, if there is one."""
    from_file: frozenset[str] = frozenset()
    """Parameters whose value it gave."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise InputError(f"--seed {self.seed}: expected a number from 0 to 2^63 − 1")
        if self.threads is not None and not 1 <= self.threads <= 4096:
            raise InputError(f"--threads {self.threads}: expected a number from 1 to 4096")
        self.console = _Console(stderr=True, quiet=self.quiet, highlight=False)

    def prepare_torch(self) -> None:
        """Seeds torch, sets its threads and resolves the device; called where torch is needed."""
        import torch

        torch.manual_seed(self.seed)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        self._limit_blas()
        self.device = resolve_device(self.device)

    def prepare_numpy(self) -> None:
        """For a command that computes with NumPy alone: sets its threads; the device is the CPU."""
        self._limit_blas()
        if self.device != "auto":
            resolve_device(self.device)
        self.device = "cpu"

    def _limit_blas(self) -> None:
        if self.threads is not None:
            from threadpoolctl import threadpool_limits

            importlib.import_module("numpy")  # only a library that is loaded can be limited
            threadpool_limits(limits=self.threads)

    def say(self, *what: Any) -> None:
        """Prints for people, unless quiet; text is shown as it is, never read as markup."""
        for item in what:
            self.console.print(item, markup=False, soft_wrap=isinstance(item, str))

    def detail(self, *what: Any) -> None:
        """Prints only with -v."""
        if self.verbose:
            self.say(*what)

    def emit(self, document: dict[str, Any]) -> None:
        """The one JSON document of --json, with what every document has.

        Raises:
            InputError: stdout cannot be written (a reader that left early is no error);
                UnsoundError instead if that is what the document says.
        """
        if not self.json_output:
            return
        from certlip.report import dumps

        shared = {
            "certlip": __version__,
            "settings": {"seed": self.seed, "device": self.device},
        }
        text = dumps(shared | document, indent=2).rstrip("\n") + "\n"
        unsound = document.get("exit_code") == UnsoundError.exit_code
        refusal = UnsoundError if unsound else InputError  # a broken certificate wins over all
        if sys.stdout is None:
            raise refusal("--json: stdout is closed; expected a place for the document")
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            _discard(sys.stdout)
            if not isinstance(error, BrokenPipeError):
                raise refusal(f"--json: stdout cannot be written ({error.strerror})") from None

    def progress(self) -> Progress:
        """A bar on stderr: none when not a terminal, in CI, or quiet."""
        shown = self.console.is_terminal and not self.quiet and not os.environ.get("CI")
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("[dim]{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not shown,
            transient=True,
        )


def command(
    app: typer.Typer, name: str, *, cls: type[TyperCommand] | None = None
) -> Callable[[Callable[..., int | None]], Callable]:
    """Registers `run(session, …) -> exit code` as a command that also takes the shared options."""

    def register(run: Callable[..., int | None]) -> Callable:
        own = list(inspect.signature(run, eval_str=True).parameters.values())[1:]
        shared = {key: annotation for key, (annotation, _) in SHARED.items()}
        annotations = {p.name: p.annotation for p in own} | shared
        config_keys.kinds[name] = {
            key: config_keys.kind_of(value) for key, value in annotations.items()
        }

        @functools.wraps(run)
        def wrapper(context: typer.Context, **options: Any) -> int:
            given = {key: options.pop(key) for key in SHARED}
            print_config = given["print_config"]
            for key in OF_MAIN:  # debug is read by `main`, which catches what escapes
                given.pop(key)
            try:
                session = Session(**given, config=context.obj, from_file=given_by_file(context))
                if print_config:
                    return show(session, context) or 0
                return run(session, **options) or 0
            except InputError as error:
                raise with_source(error, context) from error

        keyword = inspect.Parameter.KEYWORD_ONLY
        first = inspect.Parameter("context", keyword, annotation=typer.Context)
        parameters = [first, *(p.replace(kind=keyword) for p in own)]
        for key, (annotation, default) in SHARED.items():
            parameters.append(
                inspect.Parameter(key, keyword, default=default, annotation=annotation)
            )
        wrapper.__dict__["__signature__"] = inspect.Signature(parameters)
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name, cls=cls)(wrapper)
        return run

    return register
