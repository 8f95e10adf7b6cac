"""Names of others as one harmless line: no format is broken by what a model or a gate is called."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from certlip.report.numbers import NONE

NOT_SHOWN = {"Cc", "Cf", "Cs", "Cn"}
"""Control and formatting characters, lone surrogates, and what is no character."""


def line(value: Any, most: int = 400) -> str:
    """Return a value as one line of at most `most` characters, fit for XML, UTF-8 and a terminal.

    White space of any kind becomes one blank; a character that cannot be seen becomes U+FFFD; and
    nothing becomes a dash, since formats refuse empty names.
    """
    text = " ".join(str(value).split())
    text = "".join("\ufffd" if unicodedata.category(c) in NOT_SHOWN else c for c in text)
    return (text or NONE) if len(text) <= most else f"{text[: most - 1]}…"


def relative_uri(path: str) -> str:
    """Return the URI reference of a file: percent-encoded, relative, without `..`, never empty.

    Of a path that is absolute or leaves the folder only the name is kept.
    """
    posix = PurePosixPath(path.replace("\\", "/"))
    drive = re.match("[A-Za-z]:", path)
    outside = drive or posix.is_absolute() or ".." in posix.parts
    shown = posix.name if outside else str(posix)
    named = shown not in ("", ".", "..")
    return quote(shown.encode("utf-8", "replace"), safe="/") if named else "model"
