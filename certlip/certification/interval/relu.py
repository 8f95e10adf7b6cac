"""max(·, 0) on boxes, in a few passes over numbers that stay in the cache."""

from __future__ import annotations

import numpy as np

from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, U, up

#: Numbers of every array at a time.
WORKING = 2**14


def relu(box: Ball, spare: float = 0.0) -> Ball:
    """The box of max(x, 0) in place of the box of x, `spare` of its mid wider: what a product may need.

    Its radius is (c + r)/2, but at most r and at least 0, and its mid the larger of c and that radius:
    c ± r where c ≥ r, [0, c + r] where |c| < r, and 0 below. As sums and halves are rounded in order
    with what they are compared with, only c + r is off, by u of itself. A mid of −∞ has overflowed, and
    says nothing.
    """
    share = up(4.0 * U + spare)
    mid, rad = box.mid.ravel("A"), box.radius().ravel("A")  # views
    room = np.empty(min(WORKING, mid.size))
    for start in range(0, mid.size, WORKING):
        c, r = mid[start : start + WORKING], rad[start : start + WORKING]
        if not c.min() > -np.inf:
            r[c == -np.inf] = np.nan
        half = room[: len(c)]
        np.add(c, r, out=half)
        half *= 0.5
        np.minimum(half, r, out=r)
        np.maximum(r, 0.0, out=r)
        np.maximum(c, r, out=c)
        np.multiply(c, share, out=half)
        half += TINY
        r += half
    return box


def apart(box: Ball) -> Ball:
    """The same numbers in arrays of their own that lie in memory in one way."""
    order = "F" if box.mid.flags.f_contiguous else "C"
    return Ball(box.mid.copy(order), box.radius().copy(order))


def together(box: Ball) -> bool:
    """Whether mid and radius lie in memory in one way, and can be written."""
    if box.rad is None or not (box.mid.flags.writeable and box.rad.flags.writeable):
        return False
    return any(
        box.mid.flags[order] and box.rad.flags[order] for order in ("C_CONTIGUOUS", "F_CONTIGUOUS")
    )
