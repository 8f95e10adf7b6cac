"""Sweeps over the rows of a matrix."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.linalg.operators import Dense
from certlip.solvers.sweeps import State, Sweep


class DenseSweep(Sweep):
    """z and c are (rows, units)."""

    row_axis: ClassVar[int] = 0

    def __init__(
        self, W: Dense, sigma: Sigma, blocks: list[slice], *, strict: bool, eliminate: bool
    ) -> None:
        super().__init__(W, sigma, blocks, strict=strict, eliminate=eliminate)
        self.W = self.A[0]
        self.parts = [
            (B, self.sigma.part(B.start, B.stop), R, self.W[B, R].mT) for B, R in self.reads
        ]
        self.columns = [(B, self.W[:, B]) for B, _ in reversed(self.reads)]

    def begin(self, z: Tensor | None, c: Tensor, mean: Tensor | None = None) -> State:
        z = mean if z is None else z
        state = {"c": self.arranged(c)}
        if self.linear is not None:
            state["linear"] = c[:, self.linear.linear] @ self.linear.R[0].mT
            driven = c[:, self.linear.linear] @ self.linear.rl_R[0].mT
            state["c"] = state["c"] + driven
        state["z"] = state["c"].new_zeros(state["c"].shape) if z is None else self.arranged(z)
        return state

    def arranged(self, x: Tensor) -> Tensor:
        return x.clone() if self.linear is None else x[:, self.linear.rest]

    def forward(self, state: State) -> None:
        z, c = state["z"], state["c"]
        for B, sigma, R, rows in self.parts:
            v = z[:, R] @ rows + c[:, B]
            z[:, B] = state["J"][:, B] * v + state["g"][:, B] if "J" in state else sigma.forward(v)

    def read(self, state: State) -> Tensor:
        return state["z"]

    def solved(self, state: State) -> Tensor:
        assert self.linear is not None
        return state["linear"] + state["z"] @ self.linear.R_lr[0].mT

    def ready(self, blocks: Tensor) -> Tensor:
        return blocks[0].mT

    def product(self, ready: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.mm(x, ready, out=out)

    def dot(self, x: Tensor, y: Tensor) -> Tensor:
        return (x * y).sum(dim=1)

    def along(self, factor: Tensor) -> Tensor:
        return factor[:, None]

    def slopes(self, state: State) -> Tensor:
        return self.sigma.derivative(state["z"] @ self.W.mT + state["c"])

    def averaged(self, J: Tensor) -> Tensor:
        return J

    def residual(self, state: State) -> Tensor:
        new = self.sigma.forward(state["z"] @ self.W.mT + state["c"])
        return (state["z"] - new).norm(dim=-1)

    def point(self, state: State) -> Tensor:
        if self.linear is None:
            return state["z"]
        z = state["z"].new_empty(len(state["z"]), len(self.linear.linear) + self.units)
        z[:, self.linear.rest], z[:, self.linear.linear] = state["z"], self.solved(state)
        return z

    def backward(self, state: State) -> None:
        v, g, J = state["z"], state["c"], state["J"]
        for B, columns in self.columns:
            v[:, B] = J[:, B] * (g[:, B] + v @ columns)
