"""One frozen block ready to run: its arrays on a device, its operators, and its solver if it has one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from certlip.blocks import (
    Activation,
    Affine,
    Block,
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    Equilibrium,
    GroupSort,
    Normalize,
    Origin,
    PaddedEquilibrium,
    Pooling,
    Residual,
    Resize,
    Window,
)
from certlip.errors import UnsupportedError
from certlip.linalg.operators import convolution
from certlip.linalg.operators.stencil import correlate, correlate_adjoint
from certlip.linalg.structure import structure_on
from certlip.solvers.base import EquilibriumSolver, Solution
from certlip.solvers.chain import Chain, chain_of
from certlip.solvers.choose import solver_for
from certlip.solvers.gauss_seidel import GaussSeidel
from certlip.solvers.implicit import equilibrium
from certlip.solvers.padded_equilibrium import PaddedSolver, operators_of

Function = Callable[[Tensor], Tensor]


class _Parts(NamedTuple):
    """A block of some explicit kind and its arrays where they will be used."""

    block: Any
    a: dict[str, Tensor]


class Implicit:
    """An equilibrium block, dense or on images: y = Gz + b_y, z = σ(Wz + Ux + b_z)."""

    def __init__(
        self,
        block: Equilibrium | ConvEquilibrium | PaddedEquilibrium,
        dtype: torch.dtype,
        device: str | torch.device,
        *,
        tol: float | None,
        strict: bool,
        compact: bool,
    ) -> None:
        def moved(array: Tensor) -> Tensor:
            return array.to(device=device, dtype=dtype)

        self.strict = strict
        if isinstance(block, PaddedEquilibrium):
            self.W, self.U, self.G = operators_of(block, moved)
            self.b_z, self.b_y = moved(block.b_z).repeat_interleave(block.pixels), moved(block.b_y)
            self.make_solver = partial(PaddedSolver, self.W, block.sigma, tol, compact=compact)
            self.chain = None
            return
        s = structure_on(block.torus if isinstance(block, ConvEquilibrium) else None)
        self.W, self.U, self.G = (s.map(moved(a)) for a in (block.W, block.U, block.G))
        self.b_z, self.b_y = s.spread(moved(block.b_z)), s.spread(moved(block.b_y))
        self.chain = chain_of(block, dtype, device)
        metric = _metric(block.origin, block.n, dtype)
        self.make_solver = partial(
            solver_for,
            self.W,
            block.sigma,
            tol,
            metric=None if metric is None else moved(metric),
            compact=compact,
        )
        if self.chain is None:
            _ = self.solver

    @cached_property
    def solver(self) -> EquilibriumSolver:
        """Not needed for a chain, except to tell its residual."""
        return self.make_solver()

    def calibrate(self, x: Tensor) -> None:
        """Lets the solver learn from inputs x what it may use for all others (`GaussSeidel`)."""
        if self.chain is None and isinstance(self.solver, GaussSeidel):
            self.solver.calibrate(self.U.apply(x) + self.b_z)

    def solve(self, x: Tensor, z0: Tensor | None) -> tuple[Tensor, Solution]:
        if self.chain is not None:
            return self._run(self.chain, x)
        c = self.U.apply(x) + self.b_z
        z, solution = equilibrium(self.W, c, self.solver, z0, strict=self.strict)
        return self.G.apply(z) + self.b_y, solution

    def tangent(self, J: Tensor, e: Tensor) -> Tensor | None:
        """By how much a state with residual e and slopes J is off, to first order, if the solver tells."""
        if self.chain is not None or not isinstance(self.solver, GaussSeidel):
            return None
        return self.solver.tangent(J, e)

    def _run(self, chain: Chain, x: Tensor) -> tuple[Tensor, Solution]:
        y, states = chain(x)

        def z() -> Tensor:
            return torch.cat(states, dim=1)

        @torch.no_grad()
        def residual() -> Tensor:
            return self.solver.residual(z(), self.U.apply(x) + self.b_z)

        finite = bool(y.detach().sum(dtype=torch.float64).isfinite())
        return y, Solution(z, residual, len(states), finite)


def prepared(
    block: Block,
    dtype: torch.dtype,
    device: str | torch.device,
    *,
    tol: float | None = None,
    strict: bool = True,
    compact: bool = True,
) -> Function | Implicit:
    """The block as a function of rows, or with its solver.

    Raises:
        UnsupportedError: a kind that cannot be evaluated.
    """
    if isinstance(block, Equilibrium | ConvEquilibrium | PaddedEquilibrium):
        return Implicit(block, dtype, device, tol=tol, strict=strict, compact=compact)
    if type(block) not in _EXPLICIT:
        raise UnsupportedError(f"{block.kind} blocks cannot be evaluated")
    arrays = {k: a.to(device=device, dtype=dtype) for k, a in block.arrays().items()}
    return _EXPLICIT[type(block)](_Parts(block, arrays))


def _metric(origin: Origin | None, units: int, dtype: torch.dtype) -> Tensor | None:
    """The diagonal of Γ of (3) per unit, as the origin gives it: a step per unit for the splittings."""
    vectors = {} if origin is None else origin.vectors
    scale = vectors.get("psi", vectors.get("phi"))
    if scale is None or scale.shape != (units,) or not bool((scale > 0).all()):
        return None
    inverse = (1.0 / scale).to(dtype)
    return inverse if bool((inverse.isfinite() & (inverse > 0)).all()) else None


def _normalize(p: _Parts) -> Function:
    return lambda x: (x - p.a["mean"]) / p.a["std"]


def _affine(p: _Parts) -> Function:
    return lambda x: x @ p.a["W"].T + p.a["b"]


def _activation(p: _Parts) -> Function:
    return p.block.sigma.forward


def _residual(p: _Parts) -> Function:
    sigma, a = p.block.sigma, p.a

    def run(x: Tensor) -> Tensor:
        s = sigma.forward(x @ a["W"] + a["b"])
        return x - 2.0 * (s * a["D"]) @ a["W"].T

    return run


def _convolution(p: _Parts) -> Function:
    block, a = p
    operator = convolution(a["K"], block.torus, block.padding)
    b = a["b"].repeat_interleave(block.pixels)
    return lambda x: operator.apply(x) + b


def _conv_residual(p: _Parts) -> Function:
    block, a = p
    K, padding, shape = a["K"], block.padding, (block.height, block.width)
    scaled, b = 2.0 * a["D"][:, None, None, None] * K, a["b"]

    def run(x: Tensor) -> Tensor:
        image = x.unflatten(1, (-1, *shape))
        v = correlate(image, K, padding, b)
        s = block.sigma.forward(v.flatten(1)).view_as(v)
        return (image - correlate_adjoint(s, scaled, padding)).flatten(1)

    return run


def _pooling(p: _Parts) -> Function:
    block = p.block
    shape, k = (block.channels, block.height, block.width), block.window

    def run(x: Tensor) -> Tensor:
        image = x.unflatten(1, shape)
        return F.avg_pool2d(image, k, divisor_override=k).flatten(1)

    return run


def _resize(p: _Parts) -> Function:
    return lambda x: F.pad(x, (0, p.block.q - p.block.d))


def _window(p: _Parts) -> Function:
    block = p.block
    shape = block.channels, block.height, block.width

    def run(x: Tensor) -> Tensor:
        image = F.pad(x.unflatten(1, shape), block.sides)
        image = image.unflatten(2, (block.rows, block.row_step))
        image = image.unflatten(4, (block.columns, block.column_step))
        return image.permute(0, 1, 3, 5, 2, 4).flatten(1)

    return run


def _group_sort(p: _Parts) -> Function:
    size = (-1, p.block.group, p.block.stride)

    def run(x: Tensor) -> Tensor:
        groups = x.unflatten(1, size)
        return groups.sort(dim=2, descending=True).values.flatten(1)

    return run


_EXPLICIT: dict[type[Block], Callable[..., Function]] = {
    Normalize: _normalize,
    Affine: _affine,
    Activation: _activation,
    Residual: _residual,
    Convolution: _convolution,
    ConvResidual: _conv_residual,
    Pooling: _pooling,
    Resize: _resize,
    Window: _window,
    GroupSort: _group_sort,
}
