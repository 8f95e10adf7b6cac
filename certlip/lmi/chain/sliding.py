"""A start for deep chains: windows of a few layers, from the input to the output.

With the multipliers of the layers before a window fixed up to a factor, X_a their Schur complement, the
window is a chain of its own: first matrix A_aX_a^{−1/2}, and its ρ the factor of everything before it. Each
window is brought near its central path; the first of its layers are then fixed, the others only looked
ahead. What is joined this way is near the optimum at a cost linear in depth, and every layer agrees with
its neighbours, which parts that are solved apart do not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from certlip.lmi.chain.centre import centred
from certlip.lmi.chain.path import Path
from certlip.lmi.chain.recursion import cholesky
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.start import Point, boundary, inside

#: Layers of a window, and those that are fixed before it moves on.
LAYERS, FIXED = 6, 3
#: The gap of a window that is enough, and its steps at most. As the gap of a chain is the sum of those
#: of its layers, that of a window is smaller than what is wanted of all.
GAP, STEPS = 0.3, 60
#: Sweeps of a window before its steps.
SWEEPS = 9


def slid(
    chain: ScaledChain, over: Callable[[], bool], passed: Callable[[], None] = lambda: None
) -> tuple[Point | None, Point | None]:
    """A feasible point and, unless time was over or doubles failed, an interior one near the central path.

    What there was no time for follows the closed form. `passed` is called after every window.
    """
    A, K = chain.A, len(chain.widths)
    past: list[Tensor] = []
    known: list[Tensor] = []  # of the layers that the window before looked ahead at
    head, rho, first = A[0], 1.0, 0
    while True:
        last = min(first + LAYERS, K)
        window = _part(head, A[first + 1 : last + 1])
        point = None if over() else _solved(window, known, over)
        if point is None:
            rest = boundary(_part(head, A[first + 1 :]), None)
            return (None if rest is None else _joined(past, rho, rest)), None
        passed()
        if last == K:
            whole = _joined(past, rho, point)
            return whole, whole
        kept = point[0][:FIXED], point[1]
        moved = _moved_on(window, kept)
        if moved is None:
            return None, None
        past, rho = _joined(past, rho, kept)
        known = [part / point[1] for part in point[0][FIXED:]]
        head, first = moved, first + FIXED


def _part(head: Tensor, rest: list[Tensor]) -> ScaledChain:
    return ScaledChain([head, *rest], [0.0] * (1 + len(rest)))


def _joined(past: list[Tensor], rho: float, point: Point) -> Point:
    return [*(point[1] * part for part in past), *point[0]], point[1] * rho


def _begun(window: ScaledChain, known: list[Tensor]) -> Point | None:
    """The multipliers that are known for the first layers, and the closed form behind them."""
    moved = _moved_on(window, (known, 1.0))
    rest = None if moved is None else boundary(_part(moved, window.A[len(known) + 1 :]), None)
    return boundary(window, None) if rest is None else _joined(known, 1.0, rest)


def _solved(window: ScaledChain, known: list[Tensor], over: Callable[[], bool]) -> Point | None:
    """A centred interior point; None if there was no time or doubles do not reach one."""
    best = _begun(window, known)
    start = None if best is None else inside(window, *best)
    if best is None or start is None:
        return None
    path = Path(window, best, centred(window, start, SWEEPS))
    for _ in range(STEPS):
        if path.gap <= GAP or over() or not path.advance():
            break
    if over():
        return None
    path.advance(centring=True)
    return path.lam, path.rho


def _moved_on(window: ScaledChain, kept: Point) -> Tensor | None:
    """A_aX_a^{−1/2} of the next window, a the number of layers kept."""
    lam, rho = kept
    half = window.A[0] / rho**0.5
    for own, A in zip(lam, window.A[1:], strict=False):
        B = half @ half.mT
        factor = cholesky(torch.diag(2.0 * own) - own[:, None] * B * own)
        if factor is None:
            return None
        half = torch.linalg.solve_triangular(factor, A.mT, upper=False).mT
    return half
