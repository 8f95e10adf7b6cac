"""The interface of a report format, and how a document is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from certlip.errors import InputError

Document = Mapping[str, Any]
"""A `certlip/certify/1` document, as `schemas/certify-1.schema.json` describes it."""
Sample = Mapping[str, Any]
"""One row of results.jsonl: index, label, predicted, status, margin_lower, radius_lower, …"""
Run = tuple[str, Document, Sequence[Sample]]
"""A labelled run to compare with."""

KIND = "certlip/certify/1"
NUMBER = (float, int, type(None))
SHOWN: dict[str, tuple[type, ...]] = {
    "certlip": (str,),
    "model.path": (str,),
    "model.sha256": (str,),
    "model.blocks": (list, tuple),
    "settings.norm": (str,),
    "settings.semantics": (str,),
    "data.name": (str,),
    "data.split": (str,),
    "data.n": (int,),
    "data.sha256": (str,),
    "data.shape": (list, tuple),
    "lipschitz_upper": (str, type(None)),
    "natural_accuracy": NUMBER,
    "certified_accuracy": (Mapping,),
    "counts": (Mapping,),
    "counts.certified": (int,),
    "throughput": NUMBER,
    "seconds": NUMBER,
    "falsifier": (Mapping, type(None)),
    "gates": (list, tuple),
    "status": (str,),
    "exit_code": (int,),
}
"""The fields that every view of a document shows, and their types."""


class ReportFormat(ABC):
    """Turns one certification into text. A format holds no state."""

    name: ClassVar[str]
    """Name on the command line."""
    suffix: ClassVar[str]
    """Usual end of the file name, with the dot."""

    @abstractmethod
    def render(
        self, document: Document, samples: Sequence[Sample], compare: Sequence[Run] = ()
    ) -> str:
        """Return the whole file.

        Law: the same input gives the same text, on every machine and at any time; no number of
        the document is recomputed; zero samples are a valid input.

        Args:
            document: The results.
            samples: The rows behind them, in any order, possibly none.
            compare: Other runs to show beside this one; formats without room for them ignore it.

        Raises:
            InputError: the document or a row lacks a field, or a field has an unusable value.
        """


def field(document: Document, path: str) -> Any:
    """Return `document["a"]["b"]` for the path `a.b`.

    Raises:
        InputError: the document has no such field.
    """
    value: Any = document
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise InputError(f"results: no field '{path}'; expected a {KIND} document")
        value = value[key]
    return value


def check_document(document: Document) -> None:
    """Refuse what is not a certify document of this version, or lacks what is always shown.

    Raises:
        InputError: another kind or version, a missing field, or one of another type.
    """
    kind = field(document, "schema")
    if kind != KIND:
        raise InputError(f"results: schema is {kind!r}; expected '{KIND}'")
    for path, types in SHOWN.items():
        value = field(document, path)
        if not isinstance(value, types) or isinstance(value, bool):
            names = " or ".join(kind.__name__ for kind in types)
            raise InputError(f"results: {path} is {value!r}; expected {names}")
    if document["data"]["n"] < 0:
        raise InputError(f"results: data.n is {document['data']['n']}; expected 0 or more")
    if not all(isinstance(block, Mapping) for block in document["model"]["blocks"]):
        raise InputError("results: model.blocks has an entry that is no block")
    for status, count in document["counts"].items():
        if not isinstance(count, int) or count < 0:
            raise InputError(f"results: counts.{status} is {count!r}; expected 0 or more")
