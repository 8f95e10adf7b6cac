"""σ of a whole layer: an activation per coordinate, given as consecutive segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.blocks.activations.base import ActivationKind
from certlip.errors import InputError


@dataclass(frozen=True)
class Sigma:
    """Segments (kind, count) in the order of the coordinates; empty segments are dropped."""

    segments: tuple[tuple[ActivationKind, int], ...]

    def __post_init__(self) -> None:
        kept = []
        for kind, count in self.segments:
            if count < 0:
                raise InputError(f"activation segment {kind!r} has {count} coordinates")
            if count and kept and kept[-1][0] == kind:
                kept[-1] = (kind, kept[-1][1] + count)
            elif count:
                kept.append((kind, count))
        object.__setattr__(self, "segments", tuple(kept))

    @classmethod
    def of(cls, kind: ActivationKind, count: int) -> Sigma:
        return cls(((kind, count),))

    @classmethod
    def concatenate(cls, parts: Sequence[Sigma]) -> Sigma:
        return cls(tuple(segment for part in parts for segment in part.segments))

    @property
    def width(self) -> int:
        return sum(count for _, count in self.segments)

    @property
    def slopes(self) -> tuple[float, float]:
        lows, highs = zip(*(kind.slopes for kind, _ in self.segments), strict=True)
        return min(lows), max(highs)

    @property
    def assumed(self) -> bool:
        """Whether a bound of the evaluation error is assumed of the mathematics library."""
        return any(kind.assumed for kind, _ in self.segments)

    def relative_error(self) -> Tensor:
        """Bound of the relative evaluation error per coordinate, (width,) float64."""
        return torch.cat(
            [
                torch.full((n,), kind.relative_error, dtype=torch.float64)
                for kind, n in self.segments
            ]
        )

    def forward(self, v: Tensor) -> Tensor:
        """σ(v) along the last axis."""
        return self._each(v, lambda kind, part: kind.forward(part))

    def derivative(self, v: Tensor) -> Tensor:
        """A generalized derivative per coordinate."""
        return self._each(v, lambda kind, part: kind.derivative(part))

    def prox(self, v: Tensor, alpha: float | Tensor) -> Tensor:
        """prox_{α_i f_i} per coordinate, α a number or (width,)."""
        if not isinstance(alpha, Tensor):
            return self._each(v, lambda kind, part: kind.prox(part, alpha))
        steps = iter(alpha.split([count for _, count in self.segments]))
        return self._each(v, lambda kind, part: kind.prox(part, next(steps)))

    def part(self, start: int, stop: int) -> Sigma:
        """σ of the coordinates start … stop − 1."""
        parts, offset = [], 0
        for kind, count in self.segments:
            inside = min(stop, offset + count) - max(start, offset)
            if inside > 0:
                parts.append((kind, inside))
            offset += count
        return Sigma(tuple(parts))

    def _each(self, v: Tensor, apply: Callable[[ActivationKind, Tensor], Tensor]) -> Tensor:
        if len(self.segments) == 1:
            return apply(self.segments[0][0], v)
        pieces = v.split([count for _, count in self.segments], dim=-1)
        return torch.cat(
            [apply(kind, p) for (kind, _), p in zip(self.segments, pieces, strict=True)], dim=-1
        )

    def __str__(self) -> str:
        return ", ".join(f"{kind!r}×{count}" for kind, count in self.segments)
