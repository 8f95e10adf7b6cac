"""Follows the central path of a barrier: long steps in t, Newton's method with a line search between them.

The Newton decrement δ says how far a point is from the centre for its t; then the last variable is at
most (ν + (δ + √ν)δ/(1 − δ))/t above its least value (Nesterov & Nemirovskii, 1994). Nothing is centred
more than that needs, and decreases are computed as sums of small terms, so that nothing stalls where t is
large and N nearly singular.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.lmi.interior.barrier import Barrier, symmetric_solve

CENTRED = 0.9  # a decrement, below 1, at which t grows
STRIDE = 10.0  # growth of t at centred points
SUFFICIENT = 0.1  # of the decrease that the slope promises
SHORTEST = 1e-10  # a shorter step means that rounding is all that is left
MOST = 300  # Newton steps


@dataclass(frozen=True)
class Path:
    """Where the follower ended: points x (B, m), gap bounds (B,) in units of the last variable, whether
    each gap is as small as asked, Newton steps taken, and whether a limit of time stopped it."""

    x: Tensor
    gap: Tensor
    done: Tensor
    iterations: int
    timed_out: bool


def follow(
    barrier: Barrier,
    x: Tensor,
    enough: Callable[[Tensor, Tensor], Tensor],
    *,
    deadline: float | None = None,
    progress: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Path:
    """Minimises the last variable from a point x (B, m) of the domain.

    Args:
        barrier: Of the batch.
        x: Where to start.
        enough: Of last variables and gap bounds (B,), whether each is good enough.
        deadline: On `time.monotonic`; the best points so far are returned then.
        progress: Called after each step with its number, last variables and gaps.
    """
    final, gaps = x.clone(), torch.full_like(x[:, -1], torch.inf)
    done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    phi, kept = barrier.value(x)
    rows = phi.isfinite().nonzero()[:, 0]  # what is outside of the domain stays where it is
    x, phi, barrier, kept = x[rows], phi[rows], barrier.select(rows), kept[rows]
    last = final[:, -1].clone()
    t: Tensor | None = None
    tight = torch.zeros_like(rows, dtype=torch.bool)
    iteration, timed_out = 0, False
    while len(rows) and iteration < MOST:
        if deadline is not None and time.monotonic() > deadline:
            timed_out = True
            break
        g, H = barrier.derivatives(x, kept)
        e = torch.zeros_like(g)
        e[:, -1] = 1.0
        solved = torch.stack([symmetric_solve(H, g), symmetric_solve(H, e)])
        if t is None:
            t = _first(barrier, x, e, solved)
        delta = _decrement(t, g, e, solved)
        # from a centred point a long step; Newton's direction for the new t comes from the same solves
        near = delta < CENTRED
        gap = torch.where(near, _gap(barrier.nu, delta, t), torch.inf)
        good = near & enough(x[:, -1], gap)
        better = good | (gap < gaps[rows])
        gaps[rows] = torch.where(better, gap, gaps[rows])
        final[rows] = torch.where(better[:, None], x, final[rows])
        over = good | tight
        if bool(over.any()):
            done[rows[over]] = good[over]
            stay = ~over
            rows, x, phi, t, near = rows[stay], x[stay], phi[stay], t[stay], near[stay]
            barrier, kept, solved, g = barrier.select(stay), kept[stay], solved[:, stay], g[stay]
            tight, e = tight[stay], e[stay]
            if not len(rows):
                break
        newton = -(solved[0] + t[:, None] * solved[1])
        slope = ((g + t[:, None] * e) * newton).sum(dim=1)
        ahead = -t[:, None] * solved[1]
        x, phi, kept, t, moved = _moved(barrier, x, phi, newton, slope, ahead, t, near)
        tight = ~moved
        iteration += 1
        if progress is not None:
            last[rows] = x[:, -1]
            progress(iteration, last, gaps)
    # points of the domain all, the last ones may be below the best centred ones
    if len(rows):
        lower = x[:, -1] < final[rows, -1]
        final[rows] = torch.where(lower[:, None], x, final[rows])
    return Path(final, gaps, done, iteration, timed_out)


def _first(barrier: Barrier, x: Tensor, e: Tensor, solved: Tensor) -> Tensor:
    """The t for which x is nearest to the centre, and at least one that promises something."""
    t = -(e * solved[0]).sum(dim=1) / (e * solved[1]).sum(dim=1)
    scale = x[:, -1].abs().clamp(min=1e-300)
    return torch.maximum(t.nan_to_num(0.0), 0.1 * barrier.nu / scale)


def _decrement(t: Tensor, g: Tensor, e: Tensor, solved: Tensor) -> Tensor:
    """√(∇ᵀH⁻¹∇) of tρ + φ."""
    total = g + t[:, None] * e
    square = (total * (solved[0] + t[:, None] * solved[1])).sum(dim=1)
    return square.clamp(min=0.0).sqrt()


def _gap(nu: float, delta: Tensor, t: Tensor) -> Tensor:
    return (nu + (delta + nu**0.5) * delta / (1.0 - delta).clamp(min=1e-3)) / t


def _moved(
    barrier: Barrier,
    x: Tensor,
    phi: Tensor,
    newton: Tensor,
    slope: Tensor,
    ahead: Tensor,
    t: Tensor,
    near: Tensor,
):
    """The next points with φ, what is kept of them, and t; and whether they are new.

    Points that are not `near` the centre take as much of Newton's step as decreases tρ + φ. The others
    take all of it, and go along the path to a larger t as far as the domain allows: as a function of
    1/t the path is nearly straight.
    """
    share = torch.where(near, 1.0 - 1.0 / STRIDE, torch.ones_like(t))
    while True:
        step = torch.where(near[:, None], newton + share[:, None] * ahead, share[:, None] * newton)
        trial = x + step
        value, kept = barrier.value(trial)
        change = (value - phi) + t * step[:, -1]
        decreased = change <= SUFFICIENT * share * slope + 1e-12 * phi.abs()
        accepted = torch.where(near, value.isfinite(), decreased)
        stuck = ~accepted & (share < SHORTEST)
        if bool((accepted | stuck).all()):
            if bool(stuck.any()):
                trial = torch.where(stuck[:, None], x, trial)
                value, kept = barrier.value(trial)
            grown = torch.where(near & ~stuck, t / (1.0 - share), t)
            return trial, value, kept, grown, ~stuck
        share = torch.where(accepted | stuck, share, torch.where(near, 0.7, 0.5) * share)
