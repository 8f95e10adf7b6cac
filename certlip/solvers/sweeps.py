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


def sweep_for(W: Operator, sigma: Sigma, blocks: list[slice]) -> Sweep:
    """The sweep over these blocks of units."""
    if isinstance(W, Dense):
        return DenseSweep(W, sigma, blocks)
    assert isinstance(W, Circulant | Stencil)
    return TorusSweep(Circulant(W.blocks(), W.torus), sigma, blocks)


class DenseSweep(Sweep):
    """Rows of a matrix."""

    def __init__(self, W: Dense, sigma: Sigma, blocks: list[slice]) -> None:
        self.W, self.sigma = W, sigma
        self.parts = [(B, sigma.part(B.start, B.stop), W.A[B].mT) for B in blocks]
        self.columns = [(B, W.A[:, B]) for B in reversed(blocks)]

    def begin(self, z: Tensor, c: Tensor) -> State:
        return {"z": z, "c": c}

    def forward(self, state: State) -> None:
        z, c = state["z"], state["c"]
        for B, sigma, rows in self.parts:
            z[:, B] = sigma.forward(z @ rows + c[:, B])

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

    def __init__(self, W: Circulant, sigma: Sigma, blocks: list[slice]) -> None:
        self.torus = W.torus
        self.sigma = channel_sigma(sigma, W.repeat)
        reads = (W.pattern() > 0).any(dim=1)
        self.parts = [
            # a block that reads no state, such as the input of (14), needs no transform
            (B, self.sigma.part(B.start, B.stop), W.K[:, B].mT if bool(reads[B].any()) else None)
            for B in blocks
        ]
        self.columns = [(B, W.K[:, :, B].conj()) for B in reversed(blocks)]
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
        for B, sigma, rows in self.parts:
            v = c[..., B]
            if rows is not None:
                v = v + self.torus.inverse(spectrum @ rows)
            part = sigma.forward(v)
            z[..., B], spectrum[..., B] = part, self.torus.transform(part)

    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        z, c = state["z"], state["c"]
        new = self.sigma.forward(self.torus.inverse(state["spectrum"] @ self.rows) + c)
        return torch.linalg.vector_norm(z - new, dim=(0, 1, 3)), torch.linalg.vector_norm(
            z, dim=(0, 1, 3)
        )

    def point(self, state: State) -> Tensor:
        return self.torus.from_pixels(state["z"])

    def backward(self, state: State) -> None:
        v, g, J, spectrum = state["z"], state["c"], state["J"], state["spectrum"]
        for B, columns in self.columns:
            part = J[..., B] * (g[..., B] + self.torus.inverse(spectrum @ columns))
            v[..., B], spectrum[..., B] = part, self.torus.transform(part)
