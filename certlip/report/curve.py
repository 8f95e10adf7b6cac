"""Certified accuracy as a function of ε, from the radii of the samples.

    C(ε) = #{samples with status certified and radius ≥ ε} / n                         (1)

The radius is proven for closed balls, so a tie counts: C is continuous from the left and drops
just after each radius. n counts every sample, certified or not. The comparison with an ε such as
36/255 is exact, in rational numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from certlip.errors import InputError
from certlip.report.base import Sample
from certlip.report.ordered import ordered


@dataclass(frozen=True)
class StepCurve:
    """C of (1).

    Args:
        radii: Radii of the certified samples, ascending, in raw input units.
        n: Number of samples, certified or not.
    """

    radii: Sequence[float]
    n: int

    def count(self, eps: Fraction | float) -> int:
        """Return the number of samples certified at ε ≥ 0."""
        return len(self.radii) - bisect_left(self.radii, eps)

    def at(self, eps: Fraction | float) -> float:
        """Return C(ε), and 0 if there are no samples."""
        return self.count(eps) / self.n if self.n else 0.0

    def steps(self, end: float, limit: int = 400) -> tuple[list[float], list[float]]:
        """Return the corners (ε_i, C(ε_i)), i = 0, 1, …, from ε = 0 to `end`.

        C is constant on each (ε_{i−1}, ε_i] (drawstyle `steps-pre`). With more than `limit`
        different radii, the corners are `limit` even steps: C is exact at each of them.
        """
        corners: list[float] = []
        i, stop = bisect_right(self.radii, 0.0), bisect_left(self.radii, end)
        while i < stop and len(corners) <= limit:
            corners.append(self.radii[i])
            i = bisect_right(self.radii, self.radii[i])
        if len(corners) > limit:
            corners = [end * i / limit for i in range(1, limit)]
        eps = [0.0, *corners, end]
        return eps, [self.at(value) for value in eps]


def step_curve(samples: Sequence[Sample]) -> StepCurve:
    """Return the curve of all samples.

    Raises:
        InputError: a row without status or with a radius that is not a number.
    """
    radii = (radius(row) for row in samples)
    return StepCurve(ordered(r for r in radii if r is not None), len(samples))


def radius(row: Sample) -> float | None:
    """Return the proven radius of a certified sample (0.0 if it has none), None for the others.

    Raises:
        InputError: the row has no status, or a radius that is not finite and 0 or more.
    """
    index = row.get("index", "?")
    if "status" not in row or "radius_lower" not in row:
        raise InputError(f"sample {index}: expected the fields status and radius_lower")
    if row["status"] != "certified":
        return None
    if row["radius_lower"] is None:
        return 0.0
    try:
        value = float(row["radius_lower"])
    except (TypeError, ValueError):
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise InputError(
            f"sample {index}: radius_lower is {row['radius_lower']!r}; expected 0 or more"
        )
    return value
