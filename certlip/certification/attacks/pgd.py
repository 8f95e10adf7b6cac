"""Projected gradient steps, and attacks in the cube inside an ℓ2 ball."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from certlip.certification.attacks.base import Attack, Claims
from certlip.certification.attacks.norms import Linf
from certlip.certification.attacks.target import Target, Walk, lead
from certlip.linalg.rigorous.rounding import down, up


@dataclass(frozen=True)
class ProjectedGradient(Attack):
    """`steps` steps of length 2.5r/steps along the steepest direction of the claim's norm, in float32.

    The first restart starts at x, the others at random points of the ball. Each yields the best point
    on its way.
    """

    steps: int = 20
    restarts: int = 2

    def run(
        self, target: Target, claims: Claims, generator: torch.Generator
    ) -> Iterator[np.ndarray]:
        centre, label, r = claims.tensors(torch.float32, target.device)
        norm = claims.norm

        def move(_step: int, d: Tensor, slope: Tensor) -> Tensor:
            return norm.project(d + (2.5 / self.steps) * r * norm.steepest(slope), r)

        for restart in range(self.restarts):
            walk = Walk(target.fast, partial(lead, label=label))
            d = torch.zeros_like(centre)
            if restart:
                d = norm.anywhere(r, d.shape[1], generator)
            best = walk.highest(centre, d, move, self.steps)
            yield claims.x + best.double().cpu().numpy()


@dataclass(frozen=True)
class Cube(Attack):
    """Another attack in the largest ℓ∞ ball inside the claimed one, r/√d in an ℓ2 ball of radius r."""

    attack: Attack

    def run(
        self, target: Target, claims: Claims, generator: torch.Generator
    ) -> Iterator[np.ndarray]:
        radius = claims.radius
        if not isinstance(claims.norm, Linf):
            radius = np.maximum(down(radius / up(np.sqrt(claims.x.shape[1]))), 0.0)
        yield from self.attack(target, replace(claims, norm=Linf(), radius=radius), generator)
