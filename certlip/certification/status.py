"""The outcome of a sample. Whatever is not `certified` counts as not certified."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """One word per outcome; "unknown" never means "not robust"."""

    CERTIFIED = "certified"
    FALSIFIED = "falsified"
    MISCLASSIFIED = "misclassified"
    UNKNOWN = "unknown"
    UNSUPPORTED = "unsupported"
    ERROR = "error"
