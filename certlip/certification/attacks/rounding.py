"""A floating-point attack: neighbours, in doubles and in float32, of the points that come closest.

Radii that were computed carelessly are too large by roundings. Such a ball is broken only next to the
decision boundary, by points that steps of r/10 pass over (Jin, Ohrimenko & Rubinstein, "Getting a-Round
guarantees", 2022). So: the strongest direction of another attack, bisection to the boundary, and from the
last point of the ball on that line to its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from certlip.certification.attacks.ascent import MarginAscent
from certlip.certification.attacks.base import Attack, Claims
from certlip.certification.attacks.target import Target, Walk, lead

#: The boundary is looked for on the line up to this many radii.
FARTHEST = 4.0
#: Shares of the coordinates, those with the largest slopes, that move together by one unit.
SHARES = (0.0, 0.1, 1.0)


@dataclass(frozen=True)
class Rounding(Attack):
    """The neighbourhood of what `MarginAscent(steps, 1)` finds.

    Yields the point of the line halfway from the boundary to the sphere, or on the sphere if that comes
    first; its neighbours by one double up the slope, in a few coordinates and in all; the same with float32
    numbers; and `restarts` neighbours by random units. Of the points that are cast to a float32 number
    the one next to x is meant.
    """

    steps: int = 20
    restarts: int = 2

    def run(
        self, target: Target, claims: Claims, generator: torch.Generator
    ) -> Iterator[np.ndarray]:
        (nearest,) = MarginAscent(self.steps, 1)(target, claims, generator)
        found, slope = _last_inside(target, claims, nearest)
        x, up = claims.x, np.sign(slope)
        order = (-np.abs(slope)).argsort(axis=1).argsort(axis=1)  # 0: the largest slope
        yield found
        yield from_float32(x, found.astype(np.float32))
        for share in SHARES:
            move = np.where(order <= share * x.shape[1], up, 0.0)
            yield _stepped(found, move)
            yield from_float32(x, _stepped(found.astype(np.float32), move))
        for _ in range(self.restarts):
            move = torch.randint(-1, 2, x.shape, generator=generator).numpy().astype(np.float64)
            yield _stepped(found, move)
            yield from_float32(x, _stepped(found.astype(np.float32), move))


def from_float32(x: np.ndarray, cast: np.ndarray) -> np.ndarray:
    """The doubles next to x, coordinate by coordinate, that are cast to these float32 numbers."""
    c = cast.astype(np.float64)
    low, high = (
        np.nextafter(cast, np.float32(end)).astype(np.float64) for end in (-np.inf, np.inf)
    )
    # halfway is exact in double; one double nearer to c there is no tie
    low, high = np.nextafter((low + c) / 2.0, c), np.nextafter((high + c) / 2.0, c)
    return np.where(np.isfinite(low) & np.isfinite(high), np.clip(x, low, high), c)


def _stepped(x: np.ndarray, move: np.ndarray) -> np.ndarray:
    """Every coordinate one number of its own format up, down, or where it is."""
    return np.where(
        move == 0.0, x, np.nextafter(x, (np.inf * np.where(move < 0.0, -1.0, 1.0)).astype(x.dtype))
    )


def bisect(
    beyond: Callable[[Tensor], Tensor], inner: Tensor, outer: Tensor, halvings: int = 60
) -> tuple[Tensor, Tensor]:
    """Numbers (n, 1) that close in on a boundary: `beyond` (n,) stays false of one, true of the other."""
    for _ in range(halvings):
        middle = (inner + outer) / 2.0
        crossed = beyond(middle)[:, None]
        inner, outer = torch.where(crossed, inner, middle), torch.where(crossed, middle, outer)
    return inner, outer


def _last_inside(
    target: Target, claims: Claims, nearest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """On the line from x through `nearest`, between boundary and sphere or on it; and the slope there."""
    centre, label, r = claims.tensors(torch.float64, target.device)
    walk = Walk(target.tight, partial(lead, label=label))
    d = torch.from_numpy(nearest).to(centre) - centre
    d = d / claims.norm.size(d).clamp_min(1e-300)

    def beyond(t: Tensor) -> Tensor:
        return walk.value(centre + t * d) >= 0.0

    # a line that does not cross the boundary ends on the sphere
    outer = torch.where(beyond(FARTHEST * r)[:, None], FARTHEST * r, r)
    _, outer = bisect(beyond, torch.zeros_like(r), outer)
    found = centre + (torch.minimum(outer, r) + r) / 2.0 * d
    _, slope = walk.slope(found)
    return found.cpu().numpy(), slope.cpu().numpy()
