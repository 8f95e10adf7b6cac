"""y = (x − mean) / std: input normalisation is a part of the network and counts in its bound."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from certlip.blocks.base import Block, checked, expect_shape
from certlip.errors import InputError


@dataclass(frozen=True, eq=False)
class Normalize(Block):
    """Entrywise normalisation, mean (d), std (d) > 0. Lipschitz constant max 1/std."""

    mean: Tensor
    std: Tensor

    kind = "normalize"
    array_names = ("mean", "std")

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", checked(self.kind, "mean", self.mean, ndim=1))
        object.__setattr__(self, "std", checked(self.kind, "std", self.std, ndim=1))
        expect_shape(self.kind, "std", self.std, tuple(self.mean.shape), "one entry per mean")
        if not bool((self.std > 0).all()):
            i = int(self.std.argmin())
            raise InputError(f"normalize block: std[{i}] = {self.std[i].item()}: expected > 0")

    @property
    def in_width(self) -> int:
        return self.mean.shape[0]

    @property
    def out_width(self) -> int:
        return self.mean.shape[0]
