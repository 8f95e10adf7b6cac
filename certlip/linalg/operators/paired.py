"""Upper and lower ends of boxes as one operator of twice the size: the adjoint of W.

[z̄; z̲] ↦ [[W₊, W₋], [W₋, W₊]] [z̄; z̲], W₊ = max(W, 0), W₋ = min(W, 0). In centre c = (z̄ + z̲)/2 and radius
r = (z̄ − z̲)/2 it is c ↦ Wc and r ↦ |W|r: two products instead of four, and up to an orthogonal change of
basis the direct sum of W and |W|. Source: Li, Wang & Lin, ICML 2022 (the adjoint DEQ).
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.linalg.operators.base import Operator


class Paired(Operator):
    """Rows [z̄, z̲] (batch, 2n) for `centre` W and `radius` |W|, both with n coordinates."""

    def __init__(self, centre: Operator, radius: Operator) -> None:
        self.centre, self.radius = centre, radius
        self.repeat = centre.repeat
        self.out_width, self.in_width = 2 * centre.out_width, 2 * centre.in_width

    @property
    def dtype(self) -> torch.dtype:
        return self.centre.dtype

    @property
    def device(self) -> torch.device:
        return self.centre.device

    @property
    def requires_grad(self) -> bool:
        return self.centre.requires_grad

    def apply(self, x: Tensor) -> Tensor:
        c, r = _turned(x)
        c, r = self.centre.apply(c), self.radius.apply(r)
        return torch.cat([c + r, c - r], dim=1)

    def adjoint(self, y: Tensor) -> Tensor:
        c, r = _turned(y)
        c, r = self.centre.adjoint(c), self.radius.adjoint(r)
        return torch.cat([c + r, c - r], dim=1)

    def blocks(self) -> Tensor:
        return torch.cat([self.centre.blocks(), self.radius.blocks()])

    def from_blocks(self, blocks: Tensor) -> Paired:
        half = len(blocks) // 2
        return Paired(
            self.centre.from_blocks(blocks[:half]), self.radius.from_blocks(blocks[half:])
        )

    def detach(self) -> Paired:
        return Paired(self.centre.detach(), self.radius.detach())


def _turned(x: Tensor) -> tuple[Tensor, Tensor]:
    upper, lower = x.chunk(2, dim=1)
    return (upper + lower) / 2, (upper - lower) / 2
