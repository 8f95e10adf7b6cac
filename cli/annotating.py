"""GitHub Actions: annotations on stderr, which the runner reads too, and the step's summary."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from certlip.errors import CertlipError, InputError

from .ranks import ranks

SUMMARY = "GITHUB_STEP_SUMMARY"


def announce(document: dict[str, Any]) -> None:
    """Writes a line per case, and appends Markdown to the summary where there is one.

    Raises:
        InputError: not a whole document, or the summary cannot be written.
    """
    from certlip.report import get_format

    lines, page = (get_format(name).render(document, []) for name in ("github", "md"))
    if sys.stderr is not None:
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.write(lines)
            sys.stderr.flush()
    path = os.environ.get(SUMMARY)
    if path:
        try:
            with Path(path).open("a", encoding="utf-8") as stream:
                stream.write(page + "\n")
        except OSError as error:
            raise InputError(f"{SUMMARY} {path}: cannot be written ({error.strerror})") from None


def announce_in_actions(document: dict[str, Any]) -> None:
    """The same by itself in a job of GitHub Actions; what goes wrong here changes no exit code."""
    if os.environ.get("GITHUB_ACTIONS") != "true" or not ranks().first:
        return
    try:
        announce(document)
    except CertlipError as error:
        if sys.stderr is not None:
            with contextlib.suppress(BrokenPipeError):
                print(f"certlip: {error}", file=sys.stderr)
