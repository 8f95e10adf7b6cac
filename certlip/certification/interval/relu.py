"""max(·, 0) on boxes, in a few passes over numbers that stay in the cache."""

from __future__ import annotations

import numpy as np

from certlip.linalg.rigorous import rounding, single
from certlip.linalg.rigorous.ball import Ball

#: Numbers of every array at a time.
WORKING = 2**14
#: u, and what stands for underflow.
ROUNDING = {
    np.dtype(np.float64): (rounding.U, rounding.TINY),
    np.dtype(np.float32): (single.U, single.TINY),
}
# NumPy takes the larger of two arrays several times as fast as that of an array and a number
ZEROS = {dtype: np.zeros(WORKING, dtype) for dtype in ROUNDING}


def relu(box: Ball, spare: float = 0.0) -> Ball:
    """The box of max(x, 0) in place of the box of x, `spare` of its mid wider: what a product may need.

    With a `spare` above 0 the product has to make good what underflows here: a few units of the last
    place of denormal numbers, once per radius.
    """
    assert box.rad is not None
    rectify(box.mid, box.rad, spare)
    return box


def rectify(mid: np.ndarray, rad: np.ndarray, spare: float) -> None:
    """The same on arrays that lie in memory in one way, in their own precision.

    The radius becomes (c + r)/2, but at most r and at least 0, and the mid the larger of c and that radius:
    c ± r where c ≥ r, [0, c + r] where |c| < r, and 0 below. As sums and halves are rounded in order
    with what they are compared with, only c + r is off, by u of itself. A mid of −∞ has overflowed, and
    says nothing.
    """
    u, tiny = ROUNDING[mid.dtype]
    # a Python number, which is rounded to the precision of the arrays
    share = (4.0 * u + spare) * (1.0 + 4.0 * u)
    mid, rad = mid.ravel("A"), rad.ravel("A")  # views
    room, zeros = np.empty(min(WORKING, mid.size), mid.dtype), ZEROS[mid.dtype]
    for start in range(0, mid.size, WORKING):
        c, r = mid[start : start + WORKING], rad[start : start + WORKING]
        if not c.min() > -np.inf:
            r[c == -np.inf] = np.nan
        half = room[: len(c)]
        np.add(c, r, out=half)
        half *= 0.5
        np.minimum(half, r, out=r)
        np.maximum(r, zeros[: len(r)], out=r)
        np.maximum(c, r, out=c)
        np.multiply(c, share, out=half)
        if not spare:
            half += tiny
        r += half


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
