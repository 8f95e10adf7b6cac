"""Certified ℓ∞ radii: the largest r whose box is proven to keep the class, or one derived from ℓ2.

‖x′ − x‖∞ ≤ r gives ‖x′ − x‖₂ ≤ √d·r: an ℓ2 radius R proves r = R/√d, rounded down. From there on boxes are
tried: at every ε that was asked for, then between the largest that is proven and the smallest that is
not. Every radius that is reported was proven at that very number, so that none needs a law of
monotonicity. A row is settled by its own boxes alone, whatever the others of its batch do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from certlip.blocks import Network
from certlip.certification.eps import Eps
from certlip.certification.interval.dual import DualBounds
from certlip.certification.interval.network import IntervalBounds
from certlip.certification.interval.start import Start
from certlip.errors import InputError, UnsupportedError
from certlip.linalg.rigorous.rounding import down, up

#: Plain interval arithmetic, or with a linear pass over the last equilibrium.
BOXES: dict[str, type[IntervalBounds]] = {"interval": IntervalBounds, "dual": DualBounds}
#: Between a proven radius and one that is not, relative to the latter.
CLOSE = 1e-4
#: Boxes tried at most: upwards by `GROWTH` until one fails, then between the two ends.
UPWARDS, BETWEEN, GROWTH = 24, 24, 4.0


@dataclass(frozen=True)
class Linf:
    """Radii (n,) in the ℓ∞ norm, 0 where there is none, and the method that gave each: a word or None."""

    radius_lower: np.ndarray
    method: np.ndarray


class LinfRadii:
    """ℓ∞ radii of samples with ℓ2 ones. `reason` says why a network has no interval bounds, if so.

    Args:
        network: The frozen network.
        eps: Radii that are tried first, exactly.
        boxes: One of `BOXES`.

    Raises:
        InputError: boxes of another name.
        UnsupportedError: boxes other than plain ones, for a network that does not have them.
    """

    def __init__(self, network: Network, eps: Sequence[Eps] = (), boxes: str = "interval") -> None:
        if boxes not in BOXES:
            raise InputError(f"boxes {boxes!r}: expected one of {', '.join(BOXES)}")
        self.boxes = boxes
        self.eps = sorted({e.upper for e in eps})
        self.reason: str | None = None
        self.bounds: IntervalBounds | None = None
        try:
            self.bounds = BOXES[boxes](network)
        except UnsupportedError as error:
            if boxes != "interval":
                raise UnsupportedError(f"boxes {boxes!r}: {error}") from None
            self.reason = str(error)

    def __call__(self, x: np.ndarray, a: np.ndarray, l2: np.ndarray) -> Linf:
        """Radii around rows x (batch, d) of classes a (batch,) with proven ℓ2 radii (batch,), 0 for none.

        A row without an ℓ2 radius gets none: its class is not proven at x itself.
        """
        derived = np.maximum(down(l2 / up(np.sqrt(x.shape[1]))), 0.0)
        has = derived > 0.0
        best = self._found(x, a, derived, has) if self.bounds is not None and has.any() else derived
        method = np.full(len(x), None, dtype=object)
        method[has] = "l2"
        method[best > derived] = self.boxes
        return Linf(np.where(has, best, 0.0), method)

    def _found(
        self, x: np.ndarray, a: np.ndarray, proven: np.ndarray, wanted: np.ndarray
    ) -> np.ndarray:
        assert self.bounds is not None
        search = _Search(self.bounds, self.bounds.start(x), a, proven)
        for eps in self.eps:
            search.attempt(np.full(len(x), eps), wanted)
        search.attempt(up(proven), wanted & ~search.by_box)
        wanted = wanted & search.by_box
        for _ in range(UPWARDS):
            search.attempt(GROWTH * search.proven, wanted & np.isinf(search.worst))
        for _ in range(BETWEEN):
            open_ = search.worst - search.proven > CLOSE * search.worst
            search.attempt(search.between(), wanted & open_)
        return search.proven


class _Search:
    """Brackets [proven, worst] of the radii of rows, by the margins of boxes at both ends."""

    def __init__(
        self, bounds: IntervalBounds, start: Start, a: np.ndarray, proven: np.ndarray
    ) -> None:
        self.bounds, self.start, self.a = bounds, start, a
        self.proven, self.worst = proven, np.full(len(a), np.inf)
        self.above, self.below = np.full(len(a), np.nan), np.full(len(a), np.nan)
        self.side = np.zeros(len(a))

    @property
    def by_box(self) -> np.ndarray:
        """Whether some box was proven, (batch,) bool."""
        return ~np.isnan(self.above)

    def attempt(self, r: np.ndarray, rows: np.ndarray) -> None:
        """Tries the boxes of radius r (batch,) of some rows, as far as they lie in the bracket."""
        rows = rows & (r > self.proven) & (r < self.worst)
        if not rows.any():
            return
        margin = self.bounds.lower(self.start, np.where(rows, r, 0.0), self.a).min(axis=1)
        holds = rows & (margin > 0.0)  # NaN does not
        fails = rows & ~holds
        self.proven, self.above = (
            np.where(holds, new, old) for new, old in ((r, self.proven), (margin, self.above))
        )
        self.worst, self.below = (
            np.where(fails, new, old) for new, old in ((r, self.worst), (margin, self.below))
        )
        # an end that stays twice counts half: the line would else creep towards it from one side
        self.below = np.where(holds & (self.side > 0.0), 0.5 * self.below, self.below)
        self.above = np.where(fails & (self.side < 0.0), 0.5 * self.above, self.above)
        self.side = np.where(holds, 1.0, np.where(fails, -1.0, self.side))

    def between(self) -> np.ndarray:
        """Where a straight line between the margins at both ends is 0; half-way without numbers."""
        with np.errstate(invalid="ignore"):
            share = self.above / (self.above - self.below)
            share = np.where(np.isfinite(self.below) & np.isfinite(share), share, 0.5)
            return self.proven + np.clip(share, 0.01, 0.99) * (self.worst - self.proven)
