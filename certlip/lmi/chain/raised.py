"""Rounds of the dual, until its multipliers prove what it says they do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from certlip.lmi.chain.ascent import Ascent
from certlip.lmi.chain.marginals import relative_gap
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.start import Point, best_of, lifted

#: Rounds at most, and those between two looks at the multipliers, about.
ROUNDS, LOOK = 400, 10
#: Rounds beyond the tolerance take L further for little: down to this share of it, or until their number
#: has grown by this factor. Multipliers of the dual lie on the wrong side of the boundary by a little: they
#: are lifted by the tolerance, which raises L by half of it, and by that share.
AIM, MORE = 0.125, 2.0
#: Lifts of multipliers that are not as good as that.
COARSE = tuple(4.0**-k for k in range(9))


@dataclass(frozen=True)
class Raised:
    """The best feasible point, if there is one, the dual bound of ρ, and the rounds that they took."""

    best: Point | None
    lower: float
    rounds: int

    @property
    def rho(self) -> float:
        return math.inf if self.best is None else self.best[1]

    @property
    def gap(self) -> float:
        return relative_gap(self.rho, self.lower)


def raised(
    chain: ScaledChain,
    tol: float,
    over: Callable[[], bool],
    looked: Callable[[Raised], None] = lambda _: None,
) -> Raised:
    """Until the gap is well below tol, or time is over, or so many rounds were not enough."""
    ascent = Ascent(chain)
    reached, last = Raised(None, 0.0, 0), ROUNDS
    while reached.rounds < last and reached.gap > AIM * tol:
        for _ in range(LOOK):
            if over():
                return _unfinished(chain, ascent, reached)
            ascent.round()
        best = best_of(reached.best, _proven(chain, ascent.lam, min(tol, 1.0)))
        reached = Raised(best, ascent.lower, reached.rounds + LOOK)
        looked(reached)
        if reached.gap <= tol:
            last = min(last, int(MORE * reached.rounds))
    return reached if reached.gap <= tol else _unfinished(chain, ascent, reached)


def _unfinished(chain: ScaledChain, ascent: Ascent, reached: Raised) -> Raised:
    """With what the last multipliers prove if they are lifted by more than the tolerance."""
    lifts = COARSE if ascent.lam else ()
    best = best_of(reached.best, *(lifted(chain, ascent.lam, lift) for lift in lifts))
    return Raised(best, ascent.lower, reached.rounds)


def _proven(chain: ScaledChain, lam: list[Tensor], tol: float) -> Point | None:
    found = lifted(chain, lam, tol)
    return found and best_of(found, lifted(chain, lam, AIM * tol))
