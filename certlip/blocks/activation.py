"""y = σ(x) between other blocks."""

from __future__ import annotations

from dataclasses import dataclass

from certlip.blocks.activations import Sigma
from certlip.blocks.base import Block, check_slopes


@dataclass(frozen=True, eq=False)
class Activation(Block):
    """An elementwise activation with slopes in [0, 1]. Lipschitz constant at most 1."""

    sigma: Sigma

    kind = "activation"
    has_sigma = True

    def __post_init__(self) -> None:
        check_slopes(self.kind, self.sigma)

    @property
    def in_width(self) -> int:
        return self.sigma.width

    @property
    def out_width(self) -> int:
        return self.sigma.width

    def describe(self) -> str:
        return f"{self.in_width}, {self.sigma}"
