"""max(·, 0) on boxes, in a few passes over numbers that stay in the cache."""

from __future__ import annotations

import numpy as np

from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, U

#: Numbers of every array at a time.
WORKING = 2**13


def relu(box: Ball) -> Ball:
    """The box of max(x, 0) in place of the box of x, for a finite mid.

    The sign of c ± r is the sign of what is computed for it. Both ends are off by u of themselves and
    are at most twice the new mid; so are the roundings of their half sum and half difference. 16u of
    the mid is more than all of them together.
    """
    mid, rad = box.mid.ravel("A"), box.radius().ravel("A")  # views
    room = np.empty(min(WORKING, mid.size))
    for start in range(0, mid.size, WORKING):
        c, r = mid[start : start + WORKING], rad[start : start + WORKING]
        low = room[: len(c)]
        np.subtract(c, r, out=low)
        np.maximum(low, 0.0, out=low)
        r += c
        np.maximum(r, 0.0, out=r)
        np.add(r, low, out=c)
        r -= low
        c *= 0.5
        r *= 0.5
        np.multiply(c, 16.0 * U, out=low)
        low += TINY
        r += low
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
