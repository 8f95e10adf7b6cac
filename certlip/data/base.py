"""The interface of a reader of datasets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from certlip.data.dataset import Dataset
from certlip.errors import InputError


class DatasetReader(ABC):
    """Reads one kind of dataset. A reader without state but for the text after `name:`."""

    name: ClassVar[str]
    """Name on the command line."""
    splits: ClassVar[tuple[str, ...]]
    """The splits that `read` accepts."""
    files: ClassVar[str]
    """Which files are expected where, in words."""
    needs_dir: ClassVar[bool] = False
    """Whether `read` needs a data folder."""
    argument: ClassVar[str | None] = None
    """What follows `name:` on the command line, for example `PATH`; None if nothing does."""

    def __init__(self, text: str | None = None) -> None:
        """Take the text after `name:`.

        Raises:
            InputError: the text is missing where `argument` asks for one, or given where not.
        """
        if self.argument is None and text is not None:
            raise InputError(f"dataset '{self.name}:{text}': expected '{self.name}' alone")
        if self.argument is not None and not text:
            raise InputError(f"dataset '{self.name}': expected '{self.name}:{self.argument}'")
        self.text = text or ""

    @abstractmethod
    def read(self, split: str, data_dir: Path | None) -> Dataset:
        """Return the samples of `split`, in a fixed order.

        Law: two calls with the same files return the same `sha256()`; no network, no cache.

        Raises:
            InputError: unknown split, no folder, or files that are missing or malformed.
        """

    def check_split(self, split: str) -> None:
        """Refuse a split that is not in `splits`."""
        if split not in self.splits:
            raise InputError(f"split '{split}' of {self.name}: expected {', '.join(self.splits)}")

    def folder(self, data_dir: Path | None) -> Path:
        """Return `data_dir` if it is a folder, and say otherwise which files belong there."""
        if data_dir is None:
            raise InputError(
                f"dataset '{self.name}' needs files: {self.files}. "
                "Name their folder with --data-dir DIR or CERTLIP_DATA_DIR"
            )
        if not data_dir.is_dir():
            raise InputError(
                f"--data-dir {data_dir}: not a folder; expected the folder with {self.files}"
            )
        return data_dir
