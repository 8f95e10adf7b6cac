"""Passes z_B ← σ(W_B z + c_B) over blocks of units, with the newest values: dense and on a torus.

Split W = W_△ + E with W_△ strictly block lower-triangular. One pass is forward substitution through W_△
with Ez from the pass before: exact from anywhere if E = 0. After a pass that changed z by Δ,

    ‖z − σ(Wz + c)‖ ≤ ‖EΔ‖,

because z = σ(W_△z + E(z − Δ) + c) and σ has slopes in [0, 1]: a bound of the residual that needs no
second evaluation. What the pass left behind, σ(Wz + c) − z ≈ JEΔ, is corrected by e = CΔ with
C = (I − J̄W)⁻¹J̄E and J̄ the slopes averaged over rows and pixels: on a torus that is one small product
per frequency, and takes care of the few frequencies where fine-tuning made E large. ‖e‖ estimates the
distance to the equilibrium.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.blocks.image import channel_sigma
from certlip.linalg.operators import Circulant, Dense, Operator, Stencil

State = dict[str, Tensor]
Reads = list[tuple[slice, slice]]  # a block of units, and which units it reads


class Sweep(ABC):
    """Passes over the blocks of one W; a state holds z and c in whatever layout is fastest."""

    row_axis: ClassVar[dict[str, int]] = {}
    #: Whether ‖EΔ‖ costs less than the residual itself.
    estimates: ClassVar[bool] = False

    def __init__(self, W: Operator, blocks: list[slice]) -> None:
        lower = torch.zeros(W.units, W.units, dtype=torch.bool, device=W.device)
        for B in blocks:
            lower[B, : B.start] = True
        #: The blocks of E, (F, units, units).
        self.E = W.blocks().masked_fill(lower, 0.0)

    def rest(self) -> float:
        """The largest norm of a block of E (Frobenius)."""
        return float(torch.linalg.matrix_norm(self.E).max())

    def correction(self, W: Operator, J: Tensor, *, adjoint: bool = False) -> Tensor:
        """The blocks of C for slopes J̄ per unit, (units,); with Wᵀ and Eᵀ for the adjoint system."""
        A, E = (W.blocks().mH, self.E.mH) if adjoint else (W.blocks(), self.E)
        eye = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
        J = J.to(A.dtype)[:, None]
        return torch.linalg.solve(eye - J * A, J * E)

    @abstractmethod
    def begin(self, z: Tensor | None, c: Tensor, mean: Tensor | None = None) -> State:
        """The state at z, or at the constant images `mean` (rows, units), or at zero."""

    @abstractmethod
    def forward(self, state: State) -> None:
        """One pass, in place."""

    @abstractmethod
    def memory(self, state: State) -> Tensor:
        """z as `change` compares it, before a pass."""

    @abstractmethod
    def change(self, state: State, before: Tensor, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Some blocks times Δ, the change of z since `before`, and its norm per row."""

    @abstractmethod
    def add(self, state: State, e: Tensor) -> None:
        """Adds e to what the next pass reads."""

    @abstractmethod
    def slopes(self, state: State) -> Tensor:
        """The slopes of σ per unit, averaged over pixels, (rows, units)."""

    @abstractmethod
    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        """‖z − σ(Wz + c)‖ and ‖z‖ per row."""

    @abstractmethod
    def size(self, state: State) -> Tensor:
        """‖z‖ per row."""

    @abstractmethod
    def point(self, state: State) -> Tensor:
        """z (rows, n)."""

    @abstractmethod
    def backward(self, state: State) -> None:
        """One pass v_B ← J_B(g_B + (Wᵀv)_B) from the last block to the first, in place.

        In this state z is v, c is g, and J is there as well.
        """


def sweep_for(W: Operator, sigma: Sigma, blocks: list[slice], *, strict: bool = False) -> Sweep:
    """The sweep over these blocks of units; `strict` where a block reads the ones before it only."""
    reads = [(B, slice(0, B.start if strict else W.units)) for B in blocks]
    if isinstance(W, Dense):
        return DenseSweep(W, sigma, reads)
    assert isinstance(W, Circulant | Stencil)
    return TorusSweep(Circulant(W.blocks(), W.torus), sigma, reads)


class DenseSweep(Sweep):
    """Rows of a matrix."""

    def __init__(self, W: Dense, sigma: Sigma, reads: Reads) -> None:
        super().__init__(W, [B for B, _ in reads])
        self.W, self.sigma = W, sigma
        self.parts = [(B, sigma.part(B.start, B.stop), R, W.A[B, R].mT) for B, R in reads]
        self.columns = [(B, W.A[:, B]) for B, _ in reversed(reads)]

    def begin(self, z: Tensor | None, c: Tensor, mean: Tensor | None = None) -> State:
        if z is None:
            z = torch.zeros_like(c) if mean is None else mean.clone()
        return {"z": z, "c": c}

    def forward(self, state: State) -> None:
        z, c = state["z"], state["c"]
        for B, sigma, R, rows in self.parts:
            z[:, B] = sigma.forward(z[:, R] @ rows + c[:, B])

    def memory(self, state: State) -> Tensor:
        return state["z"].clone()

    def change(self, state: State, before: Tensor, blocks: Tensor) -> tuple[Tensor, Tensor]:
        change = (state["z"] - before) @ blocks[0].mT
        return change, change.norm(dim=1)

    def add(self, state: State, e: Tensor) -> None:
        state["z"].add_(e)

    def slopes(self, state: State) -> Tensor:
        return self.sigma.derivative(self.W.apply(state["z"]) + state["c"])

    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        z = state["z"]
        new = self.sigma.forward(self.W.apply(z) + state["c"])
        return (z - new).norm(dim=-1), self.size(state)

    def size(self, state: State) -> Tensor:
        return state["z"].norm(dim=-1)

    def point(self, state: State) -> Tensor:
        return state["z"]

    def backward(self, state: State) -> None:
        v, g, J = state["z"], state["c"], state["J"]
        for B, columns in self.columns:
            v[:, B] = J[:, B] * (g[:, B] + v @ columns)


class TorusSweep(Sweep):
    """Channels of a circulant: each block goes to frequencies once, after it has been computed."""

    estimates: ClassVar[bool] = True
    row_axis: ClassVar[dict[str, int]] = {"z": 2, "c": 2, "J": 2, "spectrum": 1, "e": 1}

    def __init__(self, W: Circulant, sigma: Sigma, reads: Reads) -> None:
        super().__init__(W, [B for B, _ in reads])
        self.torus, self.W = W.torus, W
        self.sigma = channel_sigma(sigma, W.repeat)
        pattern = W.pattern() > 0
        self.parts = []
        for B, R in reads:
            # a block that reads no state, such as the input of (14), needs no transform
            rows = W.K[:, B, R].mT.contiguous() if bool(pattern[B].any()) else None
            self.parts.append((B, self.sigma.part(B.start, B.stop), R, rows))
        self.columns = [(B, W.K[:, :, B].conj().resolve_conj()) for B, _ in reversed(reads)]

    def begin(self, z: Tensor | None, c: Tensor, mean: Tensor | None = None) -> State:
        c = self.torus.to_pixels(c).contiguous()
        if z is not None:
            z = self.torus.to_pixels(z).contiguous()
            return {"z": z, "c": c, "spectrum": self.torus.transform(z)}
        shape = (self.torus.frequencies, *c.shape[2:])
        spectrum = torch.zeros(shape, dtype=c.dtype.to_complex(), device=c.device)
        if mean is None:
            return {"z": torch.zeros_like(c), "c": c, "spectrum": spectrum}
        spectrum[0] = self.torus.pixels * mean
        return {"z": mean.expand_as(c).contiguous(), "c": c, "spectrum": spectrum}

    def forward(self, state: State) -> None:
        z, c, spectrum = state["z"], state["c"], state["spectrum"]
        for B, sigma, R, rows in self.parts:
            v = c[..., B]
            if rows is not None:
                v = self.torus.inverse(spectrum[..., R] @ rows).add_(v)
            part = sigma.forward(v)
            z[..., B], spectrum[..., B] = part, self.torus.transform(part)

    def memory(self, state: State) -> Tensor:
        return state["spectrum"].clone()

    def change(self, state: State, before: Tensor, blocks: Tensor) -> tuple[Tensor, Tensor]:
        change = (state["spectrum"] - before) @ blocks.mT
        return change, self.torus.norm(change)

    def add(self, state: State, e: Tensor) -> None:
        # the next pass reads the spectrum alone, so z need not follow
        state["spectrum"].add_(e)

    def slopes(self, state: State) -> Tensor:
        return self.sigma.derivative(self._argument(state)).mean(dim=(0, 1))

    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        distance = state["z"] - self.sigma.forward(self._argument(state))
        # summed over pixels first, where memory is contiguous
        return distance.square_().sum(dim=(0, 1)).sum(dim=1).sqrt(), self.size(state)

    def _argument(self, state: State) -> Tensor:
        """Wz + c."""
        return self.torus.inverse(state["spectrum"] @ self.W.K.mT).add_(state["c"])

    def size(self, state: State) -> Tensor:
        return self.torus.norm(state["spectrum"])

    def point(self, state: State) -> Tensor:
        return self.torus.from_pixels(state["z"])

    def backward(self, state: State) -> None:
        v, g, J, spectrum = state["z"], state["c"], state["J"], state["spectrum"]
        for B, columns in self.columns:
            part = J[..., B] * (g[..., B] + self.torus.inverse(spectrum @ columns))
            v[..., B], spectrum[..., B] = part, self.torus.transform(part)
