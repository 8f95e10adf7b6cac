"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from certlip.errors import InputError


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Runs `write` on a temporary file in the folder of `path`, then puts it in the place of `path`.

    Whoever reads `path` sees the old content or the new one. The folder must exist.

    Raises:
        OSError: and whatever `write` raises; `path` is then unchanged and nothing is left behind.
    """
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(number)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(_mode(path))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic(path: Path, write: Callable[[Path], object]) -> None:
    """The same for a user's output: makes the folder, and says in one line what went wrong.

    Raises:
        InputError: the folder cannot be made or written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, write)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: cannot be written ({line[:160]})") from None


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, or those of a new file."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0o022)
        os.umask(mask)
        return 0o666 & ~mask
