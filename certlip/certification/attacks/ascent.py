"""Margin ascent: the difference of two logits, with exact implicit gradients, from G_j − G_a."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from certlip.certification.attacks.base import Attack, Claims
from certlip.certification.attacks.target import Target, Walk


@dataclass(frozen=True)
class MarginAscent(Attack):
    """Raises f_j − f_a for one class j per restart, in float64 with equilibria solved to 10⁻¹⁰.

    Restart k takes the class with the k-th largest other logit at x. It starts where the gradient of
    f_j − f_a at x meets the boundary, which is optimal for a linear map, and takes normalised steps that
    shrink to nothing. Restarts beyond the classes start at random points.
    """

    steps: int = 20
    restarts: int = 2

    def run(
        self, target: Target, claims: Claims, generator: torch.Generator
    ) -> Iterator[np.ndarray]:
        centre, label, r = claims.tensors(torch.float64, target.device)
        norm, others = claims.norm, target.network.classes - 1
        with torch.no_grad():
            y = target.tight(centre).scatter(1, label[:, None], -torch.inf)
        order = y.argsort(dim=1, descending=True)

        def move(step: int, d: Tensor, slope: Tensor) -> Tensor:
            length = 1.0 - step / self.steps
            return norm.project(d + length * r * norm.steepest(slope), r)

        for restart in range(self.restarts):
            walk = Walk(target.tight, _difference(order[:, restart % others], label))
            if restart < others:
                _, slope = walk.slope(centre)
                d = r * norm.steepest(slope)
            else:
                d = norm.anywhere(r, centre.shape[1], generator)
            yield (centre + walk.highest(centre, d, move, self.steps)).cpu().numpy()


def _difference(j: Tensor, a: Tensor) -> Callable[[Tensor], Tensor]:
    """f_j − f_a per row."""
    return lambda y: (y.gather(1, j[:, None]) - y.gather(1, a[:, None]))[:, 0]
