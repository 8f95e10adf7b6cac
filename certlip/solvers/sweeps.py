"""One pass z_B ← σ(W_B z + c_B) over blocks of units, with the newest values: dense and on a torus.

For a W that is strictly block lower-triangular one pass from anywhere is exact forward substitution;
for one that nearly is, passes converge in a handful.
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


class Sweep(ABC):
    """Passes over the blocks of one W; a state holds z and c in whatever layout is fastest."""

    row_axis: ClassVar[dict[str, int]] = {}

    @abstractmethod
    def begin(self, z: Tensor, c: Tensor) -> State: ...

    @abstractmethod
    def forward(self, state: State) -> None:
        """One pass, in place."""

    @abstractmethod
    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        """‖z − σ(Wz + c)‖ and ‖z‖ per row."""

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


Reads = list[tuple[slice, slice]]  # a block of units, and which units it reads


class DenseSweep(Sweep):
    """Rows of a matrix."""

    def __init__(self, W: Dense, sigma: Sigma, reads: Reads) -> None:
        self.W, self.sigma = W, sigma
        self.parts = [(B, sigma.part(B.start, B.stop), R, W.A[B, R].mT) for B, R in reads]
        self.columns = [(B, W.A[:, B]) for B, _ in reversed(reads)]

    def begin(self, z: Tensor, c: Tensor) -> State:
        return {"z": z, "c": c}

    def forward(self, state: State) -> None:
        z, c = state["z"], state["c"]
        for B, sigma, R, rows in self.parts:
            z[:, B] = sigma.forward(z[:, R] @ rows + c[:, B])

    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        z = state["z"]
        new = self.sigma.forward(self.W.apply(z) + state["c"])
        return (z - new).norm(dim=-1), z.norm(dim=-1)

    def point(self, state: State) -> Tensor:
        return state["z"]

    def backward(self, state: State) -> None:
        v, g, J = state["z"], state["c"], state["J"]
        for B, columns in self.columns:
            v[:, B] = J[:, B] * (g[:, B] + v @ columns)


class TorusSweep(Sweep):
    """Channels of a circulant: each block goes to frequencies once, after it has been computed."""

    row_axis: ClassVar[dict[str, int]] = {"z": 2, "c": 2, "J": 2, "spectrum": 1}

    def __init__(self, W: Circulant, sigma: Sigma, reads: Reads) -> None:
        self.torus = W.torus
        self.sigma = channel_sigma(sigma, W.repeat)
        pattern = W.pattern() > 0
        self.parts = []
        for B, R in reads:
            # a block that reads no state, such as the input of (14), needs no transform
            rows = W.K[:, B, R].mT if bool(pattern[B].any()) else None
            self.parts.append((B, self.sigma.part(B.start, B.stop), R, rows))
        self.columns = [(B, W.K[:, :, B].conj()) for B, _ in reversed(reads)]
        self.rows = W.K.mT

    def begin(self, z: Tensor, c: Tensor) -> State:
        z, c = (self.torus.to_pixels(t).contiguous() for t in (z, c))
        spectrum = self.torus.transform(z) if bool(z.any()) else self._zeros(z)
        return {"z": z, "c": c, "spectrum": spectrum}

    def _zeros(self, z: Tensor) -> Tensor:
        shape = (self.torus.frequencies, *z.shape[2:])
        return torch.zeros(shape, dtype=z.dtype.to_complex(), device=z.device)

    def forward(self, state: State) -> None:
        z, c, spectrum = state["z"], state["c"], state["spectrum"]
        for B, sigma, R, rows in self.parts:
            v = c[..., B]
            if rows is not None:
                v = v + self.torus.inverse(spectrum[..., R] @ rows)
            part = sigma.forward(v)
            z[..., B], spectrum[..., B] = part, self.torus.transform(part)

    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        z, c = state["z"], state["c"]
        new = self.sigma.forward(self.torus.inverse(state["spectrum"] @ self.rows) + c)
        return _norms(z - new), _norms(z)

    def point(self, state: State) -> Tensor:
        return self.torus.from_pixels(state["z"])

    def backward(self, state: State) -> None:
        v, g, J, spectrum = state["z"], state["c"], state["J"], state["spectrum"]
        for B, columns in self.columns:
            part = J[..., B] * (g[..., B] + self.torus.inverse(spectrum @ columns))
            v[..., B], spectrum[..., B] = part, self.torus.transform(part)


def _norms(x: Tensor) -> Tensor:
    """‖x‖ per row of pixels (H, W, rows, c); summed over pixels first, where memory is contiguous."""
    return x.square().sum(dim=(0, 1)).sum(dim=1).sqrt()
