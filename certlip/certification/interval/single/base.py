"""Boxes in single precision, and steps that take them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from certlip.certification.interval.base import Step, through
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.single import TINY, U


@dataclass(frozen=True)
class Single:
    """Every x with |x − mid| ≤ rad, entry by entry: float32 arrays (batch, d) that lie in memory in one
    way, and belong to nobody else. NaN says nothing.
    """

    mid: np.ndarray
    rad: np.ndarray

    @classmethod
    @np.errstate(over="ignore", invalid="ignore")
    def around(cls, mid: np.ndarray, rad: np.ndarray) -> Single:
        """A box that holds mid ± rad (float64), with room for one more sum."""
        near = mid.astype(np.float32)
        room = np.abs(near)
        # near is off by u of itself, and every number below by u as well; all may underflow
        room *= 2.0 * U
        room += rad.astype(np.float32)
        room *= 1.0 + 16.0 * U
        room += TINY
        return cls(near, room)

    def ball(self) -> Ball:
        """The same box."""
        return Ball(self.mid.astype(np.float64), self.rad.astype(np.float64))


class SingleStep(ABC):
    """A function of rows, applied to boxes in single precision.

    Law: that of `Step`; the arrays of the box that goes in may be overwritten.
    """

    @abstractmethod
    def __call__(self, box: Single) -> Single:
        """The box of f(x), for rows (batch, d)."""


class InDouble(SingleStep):
    """Steps that have no faster form, in double precision."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps

    def __call__(self, box: Single) -> Single:
        found = through(self.steps, box.ball())
        return Single.around(found.mid, found.radius())
