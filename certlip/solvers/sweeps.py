"""Passes z_B ← σ(W_B z + c_B) over blocks of units, with the newest values.

Split W = W_△ + E with W_△ strictly block lower-triangular. One pass is forward substitution through W_△
with Ez from the pass before: exact from anywhere if E = 0. After a pass that changed z by Δ,

    ‖z − σ(Wz + c)‖ ≤ ‖EΔ‖,

because z = σ(W_△z + E(z − Δ) + c) and σ has slopes in [0, 1]: a bound of the residual that needs no
second evaluation. What the pass left behind, σ(Wz + c) − z ≈ JEΔ, is corrected by e = CΔ with
C = (I − J̄W)⁻¹J̄E and J̄ the slopes averaged over rows and pixels: on a torus that is one small product
per frequency, and takes care of the few frequencies where fine-tuning made E large. ‖e‖ estimates the
distance to the equilibrium. Linear units are eliminated before (see `elimination`); W, E and C are
those of the units that are left.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.linalg.operators import Operator
from certlip.linalg.solve import solve
from certlip.solvers.elimination import Elimination, elimination_of

State = dict[str, Tensor]
Reads = list[tuple[slice, slice]]  # a block of units, and which units it reads


class Sweep(ABC):
    """Passes over the blocks of one W; a state holds z and c in whatever layout is fastest.

    Args:
        W: The operator.
        sigma: σ per unit.
        blocks: Consecutive blocks of units.
        strict: A block reads the ones before it only.
        eliminate: Whether linear units are eliminated.
    """

    #: The axis of the rows in every tensor of a state.
    row_axis: ClassVar[int]

    def __init__(
        self, W: Operator, sigma: Sigma, blocks: list[slice], *, strict: bool, eliminate: bool
    ) -> None:
        A = W.blocks()
        found = elimination_of(A, sigma) if eliminate else None
        self.linear: Elimination | None = found
        if found is not None:
            A, left = found.S, set(found.rest.tolist())
            counts = [sum(unit in left for unit in range(B.start, B.stop)) for B in blocks]
            ends = torch.tensor(counts).cumsum(dim=0).tolist()
            blocks = [slice(b - n, b) for n, b in zip(counts, ends, strict=True) if n]
            sigma = Sigma(tuple(part for part in sigma.segments if part[0].name != "identity"))
        self.A, self.sigma, self.units = A, sigma, A.shape[1]
        self.reads: Reads = [(B, slice(0, B.start if strict else self.units)) for B in blocks]
        lower = torch.zeros(self.units, self.units, dtype=torch.bool, device=A.device)
        for B in blocks:
            lower[B, : B.start] = True
        #: The blocks of E, (F, units, units).
        self.E = A.masked_fill(lower, 0.0)
        #: The largest norm of a block of E (Frobenius).
        self.rest = float(torch.linalg.matrix_norm(self.E).max())

    def correction(self, J: Tensor, *, adjoint: bool = False) -> Tensor | None:
        """C for slopes (rows, units), ready for `product`, or None where I − J̄W is singular.

        With `adjoint` that of the adjoint system, with Wᵀ and Eᵀ.
        """
        A, E = (self.A.mH, self.E.mH) if adjoint else (self.A, self.E)
        mean = J[J.isfinite().all(dim=1)].mean(dim=0).to(A.dtype)[:, None]
        eye = torch.eye(self.units, dtype=A.dtype, device=A.device)
        try:
            C = self.ready(solve(eye - mean * A, mean * E))
        except RuntimeError:  # LinAlgError, which torch does not export to type checkers
            return None
        return C if bool(C.isfinite().all()) else None

    def begin_tangent(self, J: Tensor, g: Tensor) -> State:
        """The state of passes δ_B ← J_B(W_B δ) + g_B for slopes J and g (rows, n), at δ = 0."""
        own = torch.zeros_like(g)
        if self.linear is not None:  # their J is 1: what drives them goes through J of the others
            units = len(self.linear.linear) + self.units
            of_units, own_units = g.unflatten(1, (units, -1)), own.unflatten(1, (units, -1))
            own_units[:, self.linear.linear] = of_units[:, self.linear.linear]
        return {**self.begin(None, own), "J": self.arranged(J), "g": self.arranged(g)}

    def norm(self, x: Tensor) -> Tensor:
        """‖x‖ per row in the layout of `read`."""
        return self.dot(x, x).sqrt()

    def size(self, state: State) -> Tensor:
        """‖z‖ per row, with the linear units."""
        read = self.read(state)
        squares = self.dot(read, read)
        if self.linear is not None:
            linear = self.solved(state)
            squares = squares + self.dot(linear, linear)
        return squares.sqrt()

    @abstractmethod
    def begin(self, z: Tensor | None, c: Tensor, mean: Tensor | None = None) -> State:
        """The state at z, or at the constant images `mean` (rows, units of W), or at zero."""

    @abstractmethod
    def arranged(self, x: Tensor) -> Tensor:
        """A value per coordinate (rows, n) in the layout of z, for the units that are left."""

    @abstractmethod
    def forward(self, state: State) -> None:
        """One pass, in place."""

    @abstractmethod
    def read(self, state: State) -> Tensor:
        """What the next pass reads of z, in a layout of its own."""

    @abstractmethod
    def solved(self, state: State) -> Tensor:
        """z_l = R W_lr z_r + R c_l in the layout of `read`."""

    @abstractmethod
    def ready(self, blocks: Tensor) -> Tensor:
        """Blocks (F, ·, ·) as `product` takes them."""

    @abstractmethod
    def product(self, ready: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Blocks times x, x in the layout of `read`."""

    @abstractmethod
    def dot(self, x: Tensor, y: Tensor) -> Tensor:
        """⟨x, y⟩ per row in the layout of `read`."""

    @abstractmethod
    def along(self, factor: Tensor) -> Tensor:
        """A number per row, (rows,), to be multiplied with what `read` returns."""

    @abstractmethod
    def slopes(self, state: State) -> Tensor:
        """The slopes of σ per unit, averaged over pixels, (rows, units)."""

    @abstractmethod
    def averaged(self, J: Tensor) -> Tensor:
        """Slopes in the layout of z, averaged over pixels, (rows, units)."""

    @abstractmethod
    def residual(self, state: State) -> Tensor:
        """‖z − σ(Wz + c)‖ per row; linear units have none but rounding."""

    @abstractmethod
    def point(self, state: State) -> Tensor:
        """z (rows, n)."""

    @abstractmethod
    def backward(self, state: State) -> None:
        """One pass v_B ← J_B(g_B + (Wᵀv)_B) from the last block to the first, in place.

        In this state z is v, c is g, and J is there as well; nothing is eliminated.
        """
