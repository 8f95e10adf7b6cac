"""y = x − 2 W D σ(Wᵀx + b), D = T⁻¹: the frozen form of SLL and CPL layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.blocks.base import Block, check_slopes, checked, expect_shape
from certlip.errors import InputError


@dataclass(frozen=True, eq=False)
class Residual(Block):
    """A block with W (d, k), D (k) ≥ 0, b (k). 1-Lipschitz if D WᵀW D ⪯ D (Araujo et al. 2023).

    W and D are separate arrays: a stored product fl(−2WD) would be another matrix.
    """

    W: Tensor
    D: Tensor
    b: Tensor
    sigma: Sigma

    kind = "residual"
    has_sigma = True
    array_names = ("W", "D", "b")

    def __post_init__(self) -> None:
        object.__setattr__(self, "W", checked(self.kind, "W", self.W, ndim=2))
        k = self.W.shape[1]
        for name in ("D", "b"):
            object.__setattr__(self, name, checked(self.kind, name, getattr(self, name), ndim=1))
            expect_shape(self.kind, name, getattr(self, name), (k,), "one entry per column of W")
        if not bool((self.D >= 0).all()):
            i = int(self.D.argmin())
            raise InputError(f"residual block: D[{i}] = {self.D[i].item()}: expected ≥ 0")
        check_slopes(self.kind, self.sigma)
        if self.sigma.width != k:
            raise InputError(f"residual block: σ has {self.sigma.width} coordinates: expected {k}")

    @property
    def in_width(self) -> int:
        return self.W.shape[0]

    @property
    def out_width(self) -> int:
        return self.W.shape[0]

    def describe(self) -> str:
        return f"{self.in_width} → {self.out_width}, {self.sigma}"
