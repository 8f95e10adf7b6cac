"""The balls that are attacked: steps and projections of a search, and an exact test of who is inside.

A search moves in ordinary floating point. What it finds is inside only if that is proven: by a distance
that is rounded up, or in rational arithmetic where that is too coarse to decide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from certlip.linalg.rigorous.ball import Ball, magnitude

#: How much nearer than its radius a point is pulled: more than a distance of 3,072 numbers is rounded up.
SHORT = 2.0**-36
#: Who is farther out than this, relatively, needs no rational arithmetic to be outside.
NEARLY = 1.0 + 2.0**-30


class Norm(ABC):
    """A norm on rows. Tensors d (n, dim) are offsets from the centres, r (n, 1) radii."""

    name: ClassVar[str]

    @abstractmethod
    def size(self, d: Tensor) -> Tensor:
        """‖d‖ as (n, 1), computed."""

    @abstractmethod
    def steepest(self, slope: Tensor) -> Tensor:
        """The d of norm 1 with the largest ⟨slope, d⟩; 0 for no slope."""

    @abstractmethod
    def project(self, d: Tensor, r: Tensor) -> Tensor:
        """Somewhere in the ball of radius r, where d was if it was inside."""

    @abstractmethod
    def anywhere(self, r: Tensor, dim: int, generator: torch.Generator) -> Tensor:
        """Random points of the balls, uniformly, drawn on the CPU."""

    @abstractmethod
    def distance_upper(self, x: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(n,) ≥ ‖points − x‖."""

    @abstractmethod
    def exactly_inside(self, offset: list[Fraction], r: Fraction) -> bool:
        """‖offset‖ ≤ r in rational arithmetic."""

    def within(self, x: np.ndarray, points: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Whether ‖points − x‖ ≤ r (n,), decided exactly."""
        distance = self.distance_upper(x, points)
        inside = distance <= r
        for i in np.flatnonzero(~inside & (distance <= r * NEARLY)):
            offset = [Fraction(a) - Fraction(b) for a, b in zip(points[i], x[i], strict=True)]
            inside[i] = self.exactly_inside(offset, Fraction(r[i]))
        return inside

    @np.errstate(over="ignore", invalid="ignore")
    def pulled(self, x: np.ndarray, points: np.ndarray, r: np.ndarray) -> np.ndarray:
        """The points that are inside, and of the others points on their way to x; at worst x itself."""
        inside = self.within(x, points, r)
        if inside.all():
            return points
        offset = points - x
        far = np.maximum(self.distance_upper(x, points), 1e-300)
        offset = offset * np.minimum(1.0, r / far * (1.0 - SHORT))[:, None]
        nearer = x + offset
        # a sum that was rounded away from x is taken one double back
        away = np.abs(nearer - x) > np.abs(offset)
        nearer = np.where(away, np.nextafter(nearer, x), nearer)
        points = np.where(inside[:, None], points, nearer)
        return np.where(self.within(x, points, r)[:, None], points, x)


class L2(Norm):
    """√Σ d_i²."""

    name = "l2"

    def size(self, d: Tensor) -> Tensor:
        return d.norm(dim=1, keepdim=True)

    def steepest(self, slope: Tensor) -> Tensor:
        return _unit(slope)

    def project(self, d: Tensor, r: Tensor) -> Tensor:
        return d * (r / self.size(d).clamp_min(1e-30)).clamp_max(1.0)

    def anywhere(self, r: Tensor, dim: int, generator: torch.Generator) -> Tensor:
        noise = _unit(torch.randn(len(r), dim, generator=generator)).to(r)
        share = torch.rand(len(r), 1, generator=generator).to(r)
        return noise * r * share ** (1.0 / dim)

    def distance_upper(self, x: np.ndarray, points: np.ndarray) -> np.ndarray:
        return (Ball(points) - Ball(x)).norm_upper()

    def exactly_inside(self, offset: list[Fraction], r: Fraction) -> bool:
        return sum(d * d for d in offset) <= r * r


class Linf(Norm):
    """max |d_i|."""

    name = "linf"

    def size(self, d: Tensor) -> Tensor:
        return d.abs().amax(dim=1, keepdim=True)

    def steepest(self, slope: Tensor) -> Tensor:
        return slope.sign()

    def project(self, d: Tensor, r: Tensor) -> Tensor:
        return d.clamp(-r, r)

    def anywhere(self, r: Tensor, dim: int, generator: torch.Generator) -> Tensor:
        return (2.0 * torch.rand(len(r), dim, generator=generator).to(r) - 1.0) * r

    def distance_upper(self, x: np.ndarray, points: np.ndarray) -> np.ndarray:
        return magnitude(Ball(points) - Ball(x)).max(axis=1)

    def exactly_inside(self, offset: list[Fraction], r: Fraction) -> bool:
        return all(abs(d) <= r for d in offset)


NORMS: dict[str, Norm] = {norm.name: norm for norm in (L2(), Linf())}


def _unit(v: Tensor) -> Tensor:
    """v/‖v‖, also where squares underflow."""
    scaled = v / v.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)
    return scaled / scaled.norm(dim=1, keepdim=True).clamp_min(1e-30)
