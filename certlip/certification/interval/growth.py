"""Radii that are affine in r: what an input radius of 1 gives, and what is there without any."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from certlip.linalg.rigorous.rounding import TINY, U, up

#: For two products, two sums, and the factor itself.
ROOM = 1.0 + 16.0 * U


class Growth(ABC):
    """r ↦ radii (batch, features) of the boxes behind affine steps, rounded up.

    Args:
        unit: (1, features): the radius that an input radius of 1 gives.
    """

    def __init__(self, unit: np.ndarray) -> None:
        self.unit = up(unit * ROOM)

    @abstractmethod
    def __call__(self, r: np.ndarray, mid: np.ndarray) -> np.ndarray:
        """For input radii r (batch,): an array that lies in memory as `mid` does."""


class Plain(Growth):
    """Radii `own` (batch, features), which are kept and overwritten, without an input radius."""

    def __init__(self, unit: np.ndarray, own: np.ndarray) -> None:
        super().__init__(unit)
        self.own = own
        self.own *= ROOM
        self.own += TINY

    def __call__(self, r: np.ndarray, mid: np.ndarray) -> np.ndarray:
        rad = np.multiply(r[:, None], self.unit, out=np.empty_like(mid))
        rad += self.own
        return rad


class Rounding(Growth):
    """Without an input radius there is the rounding of a product, size·rows + floor: then all is one
    product with three terms.

    Args:
        size: (batch,).
        rows, floor: (features,).
    """

    def __init__(
        self, unit: np.ndarray, size: np.ndarray, rows: np.ndarray, floor: np.ndarray
    ) -> None:
        super().__init__(unit)
        self.size = size
        # the products may underflow
        self.terms = np.stack([self.unit[0], up(rows * ROOM), up(floor * ROOM) + 4.0 * TINY])

    def __call__(self, r: np.ndarray, mid: np.ndarray) -> np.ndarray:
        factors = np.stack([r, self.size, np.ones_like(r)], axis=1)
        if mid.flags.c_contiguous:
            return factors @ self.terms
        return (self.terms.T @ factors.T).T
