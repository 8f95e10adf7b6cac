"""Sweeps over the channels of a circulant: each block goes to frequencies once, after its σ."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.linalg.operators import Circulant, Stencil
from certlip.linalg.planes import planes_of
from certlip.solvers.sweeps import State, Sweep


class TorusSweep(Sweep):
    """z and c are pixels (H, W, channels, rows); passes read ẑ, planes (F, 2, channels, rows).

    Linear channels never leave the frequencies.
    """

    row_axis: ClassVar[int] = -1

    def __init__(
        self,
        W: Circulant | Stencil,
        sigma: Sigma,
        blocks: list[slice],
        *,
        strict: bool,
        eliminate: bool,
    ) -> None:
        super().__init__(W, sigma, blocks, strict=strict, eliminate=eliminate)
        self.torus = W.torus
        self.planes = planes_of(W.torus, W.dtype, W.device)
        self.W = self.ready(self.A)
        self.parts = []
        for B, R in self.reads:
            # a block that reads no state, such as the input of (14), needs no transform
            rows = self.ready(self.A[:, B, R]) if bool((self.A[:, B] != 0).any()) else None
            self.parts.append((B, self.sigma.part(B.start, B.stop), R, rows))
        if self.linear is not None:
            e = self.linear
            self.R, self.R_lr, self.rl_R = (self.ready(A) for A in (e.R, e.R_lr, e.rl_R))

    @cached_property
    def columns(self) -> list[tuple[slice, Tensor]]:
        """The columns of W for `backward`."""
        return [(B, self.ready(self.A[:, :, B].mH)) for B, _ in reversed(self.reads)]

    def begin(self, z: Tensor | None, c: Tensor, mean: Tensor | None = None) -> State:
        state = {}
        if self.linear is None:
            c = self.arranged(c)
        else:
            pixels = self._pixels(c)
            driving = self.planes.transform(pixels[:, :, self.linear.linear])
            state["linear"] = self.product(self.R, driving)
            driven = self.planes.inverse(self.product(self.rl_R, driving))
            c = driven.add_(pixels[:, :, self.linear.rest])
        state["c"] = c
        if z is not None:
            z = self.arranged(z)
            return {**state, "z": z, "spectrum": self.planes.transform(z)}
        spectrum = c.new_zeros(self.torus.frequencies, 2, *c.shape[2:])
        if mean is not None:
            left = mean if self.linear is None else mean[:, self.linear.rest]
            spectrum[0, 0] = self.torus.pixels * left.mT
        return {**state, "z": torch.empty_like(c), "spectrum": spectrum}

    def arranged(self, x: Tensor) -> Tensor:
        x = self._pixels(x)
        return x.contiguous() if self.linear is None else x[:, :, self.linear.rest]

    def forward(self, state: State) -> None:
        z, c, spectrum = state["z"], state["c"], state["spectrum"]
        for B, sigma, R, rows in self.parts:
            v = c[:, :, B]
            if rows is not None:
                v = self.planes.inverse(self.product(rows, spectrum[:, :, R])).add_(v)
            if "J" in state:
                part = (v * state["J"][:, :, B]).add_(state["g"][:, :, B])
            else:
                part = _each(sigma.forward, v)
            z[:, :, B], spectrum[:, :, B] = part, self.planes.transform(part)

    def read(self, state: State) -> Tensor:
        return state["spectrum"]

    def solved(self, state: State) -> Tensor:
        return self.product(self.R_lr, state["spectrum"]).add_(state["linear"])

    def ready(self, blocks: Tensor) -> Tensor:
        return self.planes.of_blocks(blocks)

    def product(self, ready: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
        flat = None if out is None else out.flatten(1, 2)
        return torch.bmm(ready, x.flatten(1, 2), out=flat).unflatten(1, (2, -1))

    def dot(self, x: Tensor, y: Tensor) -> Tensor:
        return self.planes.dot(x, y)

    def along(self, factor: Tensor) -> Tensor:
        return factor

    def slopes(self, state: State) -> Tensor:
        return self.averaged(_each(self.sigma.derivative, self._argument(state)))

    def averaged(self, J: Tensor) -> Tensor:
        return J.mean(dim=(0, 1)).mT

    def residual(self, state: State) -> Tensor:
        distance = state["z"] - _each(self.sigma.forward, self._argument(state))
        # summed over pixels first, where memory is contiguous
        return distance.square_().sum(dim=(0, 1)).sum(dim=0).sqrt()

    def point(self, state: State) -> Tensor:
        z = state["z"].permute(2, 0, 1, 3)
        if self.linear is not None:
            whole = z.new_empty(len(self.linear.linear) + self.units, *z.shape[1:])
            whole[self.linear.rest] = z
            whole[self.linear.linear] = self.planes.inverse(self.solved(state)).permute(2, 0, 1, 3)
            z = whole
        # a transpose of a matrix at the end, which is fast
        return z.flatten(0, 2).mT.contiguous()

    def backward(self, state: State) -> None:
        v, g, J, spectrum = state["z"], state["c"], state["J"], state["spectrum"]
        for B, columns in self.columns:
            part = self.planes.inverse(self.product(columns, spectrum))
            part = part.add_(g[:, :, B]).mul_(J[:, :, B])
            v[:, :, B], spectrum[:, :, B] = part, self.planes.transform(part)

    def _argument(self, state: State) -> Tensor:
        """Wz + c."""
        return self.planes.inverse(self.product(self.W, state["spectrum"])).add_(state["c"])

    def _pixels(self, x: Tensor) -> Tensor:
        """(rows, c·H·W) → (H, W, c, rows)."""
        # a transpose of a matrix first, which is fast
        x = x.mT.contiguous().unflatten(0, (-1, self.torus.height, self.torus.width))
        return x.permute(1, 2, 0, 3)


def _each(function: Callable[[Tensor], Tensor], v: Tensor) -> Tensor:
    """A function of channels on the last axis, for channels on the last but one."""
    return function(v.mT).mT
