"""Boxes of rows, as balls: every x with |x − mid| ≤ rad, entry by entry.

A NaN in `mid` or `rad` says nothing about its entry; it stays NaN through every step, and a comparison
with it proves nothing.
"""

from __future__ import annotations

import numpy as np

from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, U


def around(x: np.ndarray, r: np.ndarray) -> Ball:
    """The closed ℓ∞ balls of radius r (batch,) around rows x (batch, d): exact."""
    return Ball(x, np.zeros_like(x) + r[:, None])


def ends(box: Ball) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends, each rounded outward: a sum of two is off by u of itself, 2u is one unit."""
    rad = box.radius()
    low, high = box.mid - rad, box.mid + rad
    outward = np.abs(low)
    outward *= 2.0 * U
    low -= outward
    np.abs(high, out=outward)
    outward *= 2.0 * U
    high += outward
    return low, high


def between(low: np.ndarray, high: np.ndarray) -> Ball:
    """The smallest box that holds [low, high], up to rounding."""
    mid = low + high
    mid *= 0.5
    rad = high - low
    rad *= 0.5
    # the two roundings of either number are at most 4u(|low| + |high|) together
    room = np.abs(low)
    room += np.abs(high)
    room *= 8.0 * U
    rad += room
    rad += TINY
    rad *= 1.0 + 8.0 * U
    return Ball(mid, rad)


def inside(inner: Ball, outer: Ball) -> np.ndarray:
    """Rows (batch,) bool of which the inner box is proven to lie in the outer one; NaN lies nowhere."""
    gap = np.abs(inner.mid - outer.mid)
    reach = (gap + inner.radius()) * (1.0 + 8.0 * U)
    return np.all(reach <= outer.radius(), axis=1)


def nothing(box: Ball, known: np.ndarray) -> Ball:
    """The box where rows are `known` (batch,), and NaN elsewhere."""
    kept = known[:, None]
    return Ball(np.where(kept, box.mid, np.nan), np.where(kept, box.radius(), np.nan))
