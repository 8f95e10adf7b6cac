"""Anderson's method for sweeps: the combination of the last points whose moves cancel best.

In logarithms of Λ̃ and ρ (Anderson, J. ACM 12, 1965; Walker & Ni, SIAM J. Numer. Anal. 49, 2011).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from certlip.lmi.chain.start import Point

#: Points that are remembered, and the move of log ρ above which those before it are no guide.
DEPTH, FAR = 6, 0.2


class Mixing:
    """What sweeps have moved, and from where."""

    def __init__(self) -> None:
        self.ends: list[Tensor] = []
        self.moves: list[Tensor] = []

    def beyond(self, begin: Point, end: Point) -> Point:
        """Where a sweep from `begin` to `end` and those before it lead to."""
        y = _logarithms(end)
        move = y - _logarithms(begin)
        if abs(float(move[-1])) > FAR:
            self.ends, self.moves = [], []
        self.ends = [*self.ends, y][-DEPTH:]
        self.moves = [*self.moves, move][-DEPTH:]
        if len(self.ends) == 1:
            return end
        ends, moves = (torch.stack(rows).diff(dim=0).mT for rows in (self.ends, self.moves))
        y = y - (ends @ torch.linalg.lstsq(moves, move[:, None]).solution)[:, 0]
        return list(y[:-1].exp().split([len(part) for part in end[0]])), math.exp(float(y[-1]))


def _logarithms(point: Point) -> Tensor:
    lam, rho = point
    return torch.cat([*lam, lam[0].new_tensor([rho])]).log()
