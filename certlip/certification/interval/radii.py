"""Certified ℓ∞ radii: the largest r whose box is proven to keep the class, or one derived from ℓ2.

‖x′ − x‖∞ ≤ r gives ‖x′ − x‖₂ ≤ √d·r: an ℓ2 radius R proves r = R/√d, rounded down. From there on boxes are
tried: at every ε that was asked for, then between the largest that is proven and the smallest that is
not. Every radius that is reported was proven at that very number, so that none needs a law of
monotonicity. Single precision comes first where it is faster: what it proves holds, and double precision
goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from certlip.blocks import Network
from certlip.certification.eps import Eps
from certlip.certification.interval.bounds import Lower
from certlip.certification.interval.dual import DualBounds
from certlip.certification.interval.network import IntervalBounds
from certlip.certification.interval.search import Search
from certlip.certification.interval.single import SingleBounds
from certlip.errors import InputError, UnsupportedError
from certlip.linalg.rigorous.rounding import down, up

#: Plain interval arithmetic, or with a linear pass over the last equilibrium.
BOXES: dict[str, type[IntervalBounds]] = {"interval": IntervalBounds, "dual": DualBounds}
#: Between a proven radius and one that is not, relative to the former.
CLOSE = 1e-4
#: The same of boxes in single precision: about what they lose to rounding.
ROUGH = 2.0**-10


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
        self.single: SingleBounds | None = None
        if self.bounds is not None:
            plain = self.bounds if boxes == "interval" else IntervalBounds(network)
            self.single = SingleBounds(plain)

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
        search: Search | None = None
        for lower, gap in self._stages(x, a):
            before, search = search, Search(lower, proven)
            if before is not None:
                search.follow(before)
            # with a linear pass a box may fail and a larger one hold
            if before is None or self.boxes == "dual":
                self._try_eps(search, wanted)
            if before is not None:  # where the other one failed
                search.attempt(before.worst, wanted & before.by_box)
            search.attempt(up(search.proven), wanted & ~search.by_box)
            search.close(gap, wanted & search.by_box)
        assert search is not None
        self._try_eps(search, wanted)
        return search.proven

    def _stages(self, x: np.ndarray, a: np.ndarray) -> Iterator[tuple[Lower, float]]:
        """Margins of boxes, and how far to go with them: the faster ones first."""
        assert self.bounds is not None
        assert self.single is not None
        if self.single.faster:
            yield self.single.around(x, a), ROUGH
        yield self.bounds.around(x, a), CLOSE

    def _try_eps(self, search: Search, rows: np.ndarray) -> None:
        for eps in self.eps:
            search.attempt(np.full(len(rows), eps), rows)
