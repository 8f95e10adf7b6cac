"""The samples that a page shows: smallest and largest proven radii, and some without one."""

from __future__ import annotations

import heapq
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certlip.errors import InputError
from certlip.files import atomic
from certlip.report.base import Document, Sample
from certlip.report.curve import radius
from certlip.report.json_format import dumps
from certlip.report.numbers import lower
from certlip.report.png import PREFIX, data_uri, shows

if TYPE_CHECKING:
    from numpy import ndarray as Array

MOST = 8
"""Pictures of each group."""
SCHEMA = "certlip/pictures/1"
GROUPS = {
    "least": "The smallest proven radii",
    "most": "The largest proven radii",
    "without": "The first samples without a proven radius",
}
_SOURCE = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9+/]{1,200000}={0,2}")

Pictures = dict[str, list[dict[str, Any]]]
"""By group, what a row says of the sample and `source`, the picture."""


def pictures(
    samples: Iterable[Sample], rows: Callable[[Array], Array], shape: tuple[int, ...]
) -> Pictures:
    """Pictures of some samples; none if samples of that shape are no pictures.

    Args:
        samples: The rows of the results; read twice.
        rows: Gives inputs in [0, 1], (m, d), of indices.
        shape: Of one sample.

    Raises:
        InputError: a row that cannot be read.
    """
    if not shows(shape):
        return {}
    import numpy as np

    chosen = _chosen(samples)
    found: Pictures = {}
    for group, members in chosen.items():
        index = np.array([row["index"] for row in members], dtype=np.int64)
        images = rows(index) if len(index) else ()
        found[group] = [
            {key: row[key] for key in ("index", "label", "predicted", "status", "radius_lower")}
            | {"source": data_uri(image, shape)}
            for row, image in zip(members, images, strict=True)
        ]
    return found


def write_pictures(path: Path, found: Pictures) -> None:
    """Keeps them for a page that is made later, without the data.

    Raises:
        InputError: the file cannot be written.
    """
    text = dumps({"schema": SCHEMA} | found, indent=1) + "\n"
    atomic(path, lambda file: file.write_text(text, encoding="utf-8"))


def read_pictures(path: Path) -> Pictures:
    """What `write_pictures` wrote; nothing if there is no such file.

    Raises:
        InputError: cannot be read, or something else than pictures.
    """
    try:
        stored = json.loads(path.read_text("utf-8"))
        if stored.pop("schema") != SCHEMA or not set(stored) <= GROUPS.keys():
            raise ValueError
        for entry in itertools.chain.from_iterable(stored.values()):
            if not isinstance(entry, Mapping) or not _SOURCE.fullmatch(entry["source"]):
                raise ValueError
            radius(entry)
            _ = entry["index"] + entry["label"] + entry["predicted"]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path}: no pictures; expected what certify --report writes") from None
    return stored


def picture_groups(document: Document) -> list[dict[str, Any]]:
    """The pictures of a document as a page shows them: every group with its pictures and their captions."""
    found = document.get("pictures", {})
    return [
        {
            "name": name,
            "title": title,
            "pictures": [
                {
                    "source": entry["source"],
                    "label": entry["label"],
                    "predicted": entry["predicted"],
                    "note": lower(own) if (own := radius(entry)) else entry["status"],
                    "index": entry["index"],
                }
                for entry in found[name]
            ],
        }
        for name, title in GROUPS.items()
        if found.get(name)
    ]


def _chosen(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The rows of each group; ties go to the smaller index."""

    def certified() -> Iterable[tuple[float, Sample]]:
        return ((own, row) for row in samples if (own := radius(row)) is not None and own > 0.0)

    least = heapq.nsmallest(MOST, certified(), key=lambda pair: (pair[0], pair[1]["index"]))
    most = heapq.nlargest(MOST, certified(), key=lambda pair: (pair[0], -pair[1]["index"]))
    without = itertools.islice((row for row in samples if not radius(row)), MOST)
    shown = {row["index"] for _, row in least}
    return {
        "least": [row for _, row in least],
        "most": [row for _, row in most if row["index"] not in shown],
        "without": list(without),
    }
