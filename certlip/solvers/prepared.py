"""One frozen block ready to run: its arrays on a device, its operators, and its solver if it has one."""

from __future__ import annotations

from functools import cached_property, partial

import torch
from torch import Tensor

from certlip.blocks import Block, ConvEquilibrium, Equilibrium, Origin, PaddedEquilibrium
from certlip.errors import UnsupportedError
from certlip.linalg.structure import structure_on
from certlip.solvers.base import EquilibriumSolver, Solution
from certlip.solvers.chain import Chain, chain_of
from certlip.solvers.choose import solver_for
from certlip.solvers.explicit import EXPLICIT, Function, Parts
from certlip.solvers.gauss_seidel import GaussSeidel
from certlip.solvers.implicit import equilibrium
from certlip.solvers.padded_equilibrium import PaddedSolver, operators_of


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
    if type(block) not in EXPLICIT:
        raise UnsupportedError(f"{block.kind} blocks cannot be evaluated")
    arrays = {k: a.to(device=device, dtype=dtype) for k, a in block.arrays().items()}
    return EXPLICIT[type(block)](Parts(block, arrays))


def _metric(origin: Origin | None, units: int, dtype: torch.dtype) -> Tensor | None:
    """The diagonal of Γ of (3) per unit, as the origin gives it: a step per unit for the splittings."""
    vectors = {} if origin is None else origin.vectors
    scale = vectors.get("psi", vectors.get("phi"))
    if scale is None or scale.shape != (units,) or not bool((scale > 0).all()):
        return None
    inverse = (1.0 / scale).to(dtype)
    return inverse if bool((inverse.isfinite() & (inverse > 0)).all()) else None
