"""A result: the document of a command, and what it says as Python values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from certlip.files import atomic
from certlip.report import dumps


class Result:
    """A document in the form that the command prints with `--json`.

    Args:
        document: Plain values; proven numbers are strings that read back to the same double.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    @property
    def exit_code(self) -> int:
        """What the command would exit with: 0 holds, 1 does not, 3 undecided, 5 broken by an attack."""
        return self.document["exit_code"]

    def to_json(self, path: str | Path | None = None) -> str:
        """The document as strict JSON, also written to `path` if there is one.

        Raises:
            InputError: the file cannot be written; then none is left half-written.
        """
        text = dumps(self.document, indent=2) + "\n"
        if path is not None:
            atomic(Path(path), lambda file: file.write_text(text, "utf-8"))
        return text
