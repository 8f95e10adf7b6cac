"""y = Wx + b."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from certlip.blocks.base import Block, checked, expect_shape


@dataclass(frozen=True, eq=False)
class Affine(Block):
    """A dense affine map, W (q, d), b (q). Lipschitz constant ‖W‖₂."""

    W: Tensor
    b: Tensor

    kind = "affine"
    array_names = ("W", "b")

    def __post_init__(self) -> None:
        object.__setattr__(self, "W", checked(self.kind, "W", self.W, ndim=2))
        object.__setattr__(self, "b", checked(self.kind, "b", self.b, ndim=1))
        expect_shape(self.kind, "b", self.b, (self.W.shape[0],), "one entry per row of W")

    @property
    def in_width(self) -> int:
        return self.W.shape[1]

    @property
    def out_width(self) -> int:
        return self.W.shape[0]
