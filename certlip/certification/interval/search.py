"""Brackets [proven, worst] of the radii of rows, by the margins of boxes.

Margins fall with r, some along a line and some over a cliff. The next radius is where the line through the
last two margins is 0, and a little beyond, so that brackets close from both sides. It stays as near to the
middle as the minmax rule of the ITP method asks (Oliveira & Takahashi, ACM TOMS 47(1), 2020): no bracket
takes more than `SPARE` steps longer than by halving. A row is settled by its own boxes alone, whatever the
others of its batch do.
"""

from __future__ import annotations

import numpy as np

from certlip.certification.interval.bounds import Lower

#: Radii tried at most.
TRIES = 64
#: While no box has failed a radius grows by this factor at most.
GROWTH = 4.0
#: Steps beyond those of halving.
SPARE = 2
#: How far beyond the root of the line, as a part of what is wanted of a bracket.
BEYOND = 1.0 / 3.0


class Search:
    """What is known of the radii of rows.

    Args:
        lower: Bounds of margins on boxes: a radius is proven if all are positive.
        proven: (batch,), radii that are proven already, by whatever means.

    Attributes:
        worst: (batch,), the smallest radius whose box was not proven, or ∞.
        by_box: (batch,) bool, whether a box proved `proven`.
    """

    def __init__(self, lower: Lower, proven: np.ndarray) -> None:
        n = len(proven)
        self.lower, self.proven = lower, proven
        self.worst, self.by_box = np.full(n, np.inf), np.zeros(n, dtype=bool)
        #: The last radius and its margin, and by how much margins fell per unit of r before it.
        self._r, self._margin, self._fall = (np.full(n, np.nan) for _ in range(3))

    def attempt(self, r: np.ndarray, rows: np.ndarray) -> None:
        """Tries the boxes of radius r (batch,) of some rows, as far as they lie in the bracket."""
        rows = rows & (r > self.proven) & (r < self.worst)
        if not rows.any():
            return
        margin = self.lower(np.where(rows, r, np.nan)).min(axis=1)
        holds = rows & (margin > 0.0)  # NaN does not
        self.proven = np.where(holds, r, self.proven)
        self.worst = np.where(rows & ~holds, r, self.worst)
        self.by_box = self.by_box | holds
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            fall = (self._margin - margin) / (r - self._r)
            self._fall = np.where(rows & np.isfinite(fall) & (fall > 0.0), fall, self._fall)
        self._r, self._margin = np.where(rows, r, self._r), np.where(rows, margin, self._margin)

    def follow(self, other: Search) -> None:
        """Takes over what another search has proven."""
        self.proven, self.by_box, self._fall = other.proven, other.by_box, other._fall

    def close(self, gap: float, rows: np.ndarray) -> None:
        """Goes on until the bracket of every row is at most `gap` of its lower end."""
        left = np.full(len(rows), np.nan)
        for _ in range(TRIES):
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                length, wanted = self.worst - self.proven, gap * self.proven
                open_ = rows & ~(np.isfinite(length) & (length <= wanted))
                if not open_.any():
                    return
                # how many steps the bracket may take, from the first on
                halvings = np.ceil(np.log2(length / wanted)) + SPARE
                left = np.where(np.isfinite(left), left - 1.0, halvings)
                self.attempt(self._next(wanted, np.maximum(left, 0.0)), open_)

    def _next(self, wanted: np.ndarray, left: np.ndarray) -> np.ndarray:
        """(batch,): the radius to try next, such that `left` steps can make the bracket `wanted`."""
        root = self._r + self._margin / self._fall
        root = root + np.where(self._margin > 0.0, BEYOND * wanted, -BEYOND * wanted)
        half = 0.5 * (self.worst - self.proven)
        middle = self.proven + half
        slack = np.maximum(0.5 * wanted * 2.0**left - half, 0.0)
        between = np.where(np.isfinite(root), np.clip(root, middle - slack, middle + slack), middle)
        inside = (between > self.proven) & (between < self.worst)
        most = GROWTH * self.proven
        farther = np.where(root > self.proven, np.minimum(root, most), most)
        return np.where(np.isinf(self.worst), farther, np.where(inside, between, middle))
