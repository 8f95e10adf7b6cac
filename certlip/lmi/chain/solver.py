"""The optimal multipliers of a chain: rounds of its dual, then a primal-dual path-following method.

    minimise ρ  subject to  S(Λ̃, ρ) ⪰ 0,     maximise tr(A_KZ_KKA_Kᵀ)  subject to  Z ⪰ 0, tr Z_00 = 1,
                                                diag(A_{k−1}Z_{k−1,k}) = diag(Z_kk)

(Λ̃ ≻ 0 follows from S ≻ 0: its diagonal is 2Λ̃.) Rounds cost O(Kw²) and hardly grow in number with depth;
nearly always they are enough. What they do not finish in their number, steps of the path do, O(Kw³) each,
with the dual bound of the rounds: there Z is needed on the pattern of S alone, its completion takes the
place of the dense matrix, and deep chains start from windows of layers.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from certlip.errors import InputError
from certlip.lmi.candidate import FAILED, INACCURATE, OPTIMAL, STOPPED, Candidate
from certlip.lmi.chain.centre import centred
from certlip.lmi.chain.marginals import relative_gap
from certlip.lmi.chain.path import Path
from certlip.lmi.chain.problem import Chain
from certlip.lmi.chain.raised import Raised, raised
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.sliding import LAYERS, slid
from certlip.lmi.chain.start import Point, best_of, boundary, inside, tightened

NAME = "chain"
ITERATIONS = 300
#: Steps without any progress after which the accuracy of doubles is used up.
PATIENCE = 12

Progress = Callable[[int, float, float], None]


def minimise_chain(
    chain: Chain,
    *,
    start: np.ndarray | None = None,
    tol: float = 1e-5,
    max_seconds: float | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Candidate:
    """The smallest L that (10) proves for the chain, and its Λ.

    Args:
        chain: Any depth; without hidden layers, or constant, there is nothing to find (`lam` None).
        start: Λ (n,), positive; taken only where it is better than the closed form, and rounds of the
            dual were not enough.
        tol: Relative gap L/L* − 1 at which to stop.
        max_seconds: Limit; the best feasible point so far is returned.
        progress: Called after every ten rounds, every window of layers and every step, with their running
            number, L (infinite while none is known), and the gap.

    Raises:
        InputError: tol is not positive, or the start is not positive or has another length.
    """
    begun = time.perf_counter()
    if not tol > 0.0:
        raise InputError(f"tol = {tol}: expected a positive number")
    if start is not None and (start.shape != (chain.n,) or not (start > 0.0).all()):
        raise InputError(f"start of shape {start.shape}: expected ({chain.n},), positive")
    scaled = ScaledChain.of(chain, device)

    def over() -> bool:
        return max_seconds is not None and time.perf_counter() - begun > max_seconds

    def answer(lam: list[Tensor] | None, rho: float, status: str, **more) -> Candidate:
        seconds = time.perf_counter() - begun
        if lam is None or scaled is None:
            return Candidate(None, rho, status, NAME, 0, seconds, **more)
        found, lip = scaled.multipliers(lam, rho)
        return Candidate(found, lip, status, NAME, seconds=seconds, **more)

    if scaled is None:
        return answer(None, 0.0, OPTIMAL, gap=0.0, message="a matrix is zero: constant")
    if not chain.depth:
        return answer(None, scaled.scale(), OPTIMAL, gap=0.0, message="no hidden states")
    told = itertools.count()

    def tell(rho: float, gap: float) -> None:
        if progress is not None:
            progress(next(told), math.sqrt(rho) * scaled.scale(), gap)

    reached = raised(scaled, tol, over, lambda at: tell(at.rho, at.gap))
    rounds = reached.rounds
    if reached.best is not None and reached.gap <= tol:
        return answer(*reached.best, OPTIMAL, iterations=rounds, gap=reached.gap)
    best, interior = _start(scaled, reached, start, over, tell)
    if best is None:
        return answer(None, math.inf, FAILED, message="no feasible start in double precision")
    if interior is None:
        status, gap = STOPPED if over() else INACCURATE, relative_gap(best[1], reached.lower)
        return answer(*tightened(scaled, *best), status, iterations=rounds, gap=gap)
    path = Path(scaled, best, interior, reached.lower)
    steps, status = 0, INACCURATE
    while steps < ITERATIONS:
        if over():
            status = STOPPED
            break
        moved, steps = path.advance(), steps + 1
        tell(path.best_rho, path.gap)
        if path.gap <= tol:
            status = OPTIMAL
            break
        if not moved or path.idle > PATIENCE:
            break
    lam, rho = tightened(scaled, path.best_lam, path.best_rho)
    gap = relative_gap(rho, path.lower)
    return answer(lam, rho, status, iterations=rounds + steps, gap=gap)


def _start(
    chain: ScaledChain,
    reached: Raised,
    given: np.ndarray | None,
    over: Callable[[], bool],
    tell: Callable[[float, float], None],
) -> tuple[Point | None, Point | None]:
    """The best point of the boundary, and an interior one; None where there is none."""
    best = best_of(reached.best, boundary(chain, given))
    if len(chain.widths) > LAYERS:
        known = math.inf if best is None else best[1]
        gap = relative_gap(known, reached.lower)
        joined, interior = slid(chain, over, lambda: tell(known, gap))
        if interior is not None:
            return best_of(best, joined), centred(chain, interior)
        best = best_of(best, joined)
    found = None if best is None or over() else inside(chain, *best)
    return best, None if found is None else centred(chain, found)
