"""What certifies radii: lower bounds of margins, part by part of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

#: From radii (batch,), NaN where none is asked for, to lower bounds of margins (batch, classes).
Lower = Callable[[np.ndarray], np.ndarray]


class Parts(Protocol):
    """Boxes of a batch on their way through a network."""

    def within(self, r: np.ndarray) -> Iterator[tuple[slice, Any]]:
        """The boxes for ‖x′ − x‖∞ ≤ r (batch,), and whose they are; none where all r are NaN."""
        ...


class MarginBounds(ABC):
    """Margins of `classes` on ℓ∞ balls."""

    classes: int

    @abstractmethod
    def start(self, x: np.ndarray) -> Parts:
        """Rows x (batch, d) on their way through the affine steps that come first."""

    def around(self, x: np.ndarray, a: np.ndarray) -> Lower:
        """`lower` as a function of r, for rows x (batch, d) of classes a (batch,)."""
        start = self.start(x)
        return lambda r: self.lower(start, r, a)

    def lower(self, start: Parts, r: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Lower bounds (batch, classes) of f_a − f_j for ‖x′ − x‖∞ ≤ r (batch,), ∞ where j = a.

        NaN, or −∞, where nothing is proven; NaN where r is NaN, and parts of the batch with nothing
        else cost nothing.
        """
        lowers = np.full((len(r), self.classes), np.nan)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            for rows, box in start.within(r):
                lowers[rows] = self._lower(box, a[rows])
        lowers[np.isnan(r)] = np.nan
        return lowers

    @abstractmethod
    def _lower(self, box: Any, a: np.ndarray) -> np.ndarray:
        """The same for boxes of what goes into the body, which may be overwritten."""


def asked(r: np.ndarray, rows: slice) -> np.ndarray | None:
    """The radii of a part, 0 where they are NaN; None if all are."""
    part = r[rows]
    known = ~np.isnan(part)
    return np.where(known, part, 0.0) if known.any() else None
