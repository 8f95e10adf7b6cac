"""y = G z + b_y, z = σ(W z + U x + b_z): the form everything can be brought to, equation (1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.blocks.base import Block, check_slopes, checked, expect_shape
from certlip.errors import InputError


@dataclass(frozen=True)
class Origin:
    """Where an equilibrium block comes from: what its analytic multipliers are computed from.

    Only a guess for the proof; nothing in it is part of the function or of the model hash.
    """

    family: str
    scalars: dict[str, float] = field(default_factory=dict)
    vectors: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"origin {self.family!r}"
        vectors = {k: checked(where, k, v, ndim=1) for k, v in self.vectors.items()}
        object.__setattr__(self, "vectors", vectors)


@dataclass(frozen=True, eq=False)
class Equilibrium(Block):
    """An equilibrium block, W (n, n), U (n, d), G (q, n), b_z (n), b_y (q), σ per coordinate."""

    W: Tensor
    U: Tensor
    G: Tensor
    b_z: Tensor
    b_y: Tensor
    sigma: Sigma
    origin: Origin | None = None

    kind = "equilibrium"
    has_sigma = True
    array_names = ("W", "U", "G", "b_z", "b_y")

    def __post_init__(self) -> None:
        for name in ("W", "U", "G"):
            object.__setattr__(self, name, checked(self.kind, name, getattr(self, name), ndim=2))
        for name in ("b_z", "b_y"):
            object.__setattr__(self, name, checked(self.kind, name, getattr(self, name), ndim=1))
        n, d, q = self.W.shape[0], self.U.shape[1], self.G.shape[0]
        expect_shape(self.kind, "W", self.W, (n, n), "W is square")
        expect_shape(self.kind, "U", self.U, (n, d), f"W has {n} rows")
        expect_shape(self.kind, "G", self.G, (q, n), f"W has {n} rows")
        expect_shape(self.kind, "b_z", self.b_z, (n,), f"W has {n} rows")
        expect_shape(self.kind, "b_y", self.b_y, (q,), f"G has {q} rows")
        check_slopes(self.kind, self.sigma)
        if self.sigma.width != n:
            raise InputError(
                f"equilibrium block: σ has {self.sigma.width} coordinates: expected {n}"
            )

    @property
    def in_width(self) -> int:
        return self.U.shape[1]

    @property
    def out_width(self) -> int:
        return self.G.shape[0]

    @property
    def n(self) -> int:
        """The number of hidden states."""
        return self.W.shape[0]

    def describe(self) -> str:
        return f"{self.in_width} → {self.out_width}, n = {self.n}, {self.sigma}"
