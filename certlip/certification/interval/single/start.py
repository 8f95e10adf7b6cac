"""The boxes behind the affine steps at the front of a network, from double to single precision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from certlip.certification.interval.bounds import asked
from certlip.certification.interval.single.base import Single
from certlip.certification.interval.start import Start
from certlip.linalg.rigorous.rounding import up
from certlip.linalg.rigorous.single import U, rounded_up


class SingleStart:
    """Boxes that hold those of `start`."""

    @np.errstate(over="ignore", invalid="ignore", under="ignore")
    def __init__(self, start: Start) -> None:
        # a product and a sum follow: what they may lose is added beforehand, here and by `around`
        self.unit = rounded_up(up(start.unit * (1.0 + 4.0 * U)))
        self.parts = [
            (rows, Single.around(mid, growth(np.zeros(len(mid)), mid)))
            for rows, mid, growth in start.parts
        ]

    def within(self, r: np.ndarray) -> Iterator[tuple[slice, Single]]:
        """The boxes for ‖x′ − x‖∞ ≤ r (batch,), and whose they are; none where all r are NaN."""
        for rows, own in self.parts:
            if (part := asked(r, rows)) is None:
                continue
            rad = np.multiply(rounded_up(part)[:, None], self.unit, out=np.empty_like(own.mid))
            rad += own.rad
            yield rows, Single(own.mid.copy("K"), rad)
