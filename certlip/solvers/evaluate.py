"""Evaluates a frozen network: the guesses of certification, and the gradients of attacks.

Nothing here is trusted. Any dtype and device will do; `certify` bounds the errors afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.blocks import Activation, Affine, Block, Equilibrium, Network, Normalize, Residual
from certlip.errors import UnsupportedError
from certlip.solvers.base import EquilibriumSolver, Solution
from certlip.solvers.choose import solver_for
from certlip.solvers.implicit import equilibrium


@dataclass
class _Prepared:
    """A block with its arrays on the device and, for an equilibrium, its solver."""

    block: Block
    arrays: dict[str, Tensor]
    solver: EquilibriumSolver | None


class Evaluator:
    """A frozen network ready to run: W's resolvent is computed here once, not per batch."""

    def __init__(
        self,
        network: Network,
        *,
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
        tol: float | None = None,
        strict: bool = True,
    ) -> None:
        self.network, self.dtype, self.device = network, dtype, device
        self.strict = strict  # whether a gradient that was not solved for raises
        self._prepared = []
        for block in network.blocks:
            arrays = {k: a.to(device=device, dtype=dtype) for k, a in block.arrays().items()}
            solver = None
            if isinstance(block, Equilibrium):
                solver = solver_for(arrays["W"], block.sigma, tol)
            self._prepared.append(_Prepared(block, arrays, solver))

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (batch, classes) of raw inputs x (batch, d); differentiable in x."""
        return self.run(x)[0]

    def run(
        self, x: Tensor, starts: dict[int, Tensor] | None = None
    ) -> tuple[Tensor, dict[int, Solution]]:
        """Logits, and the solution of each equilibrium block by its number.

        `starts` are states to start the solvers from, for example those of a nearby input.
        """
        solutions: dict[int, Solution] = {}
        y = x
        for k, prepared in enumerate(self._prepared):
            if isinstance(prepared.block, Equilibrium):
                y, solutions[k] = self._solve(prepared, y, (starts or {}).get(k))
            else:
                y = _EXPLICIT[type(prepared.block)](prepared, y)
        return y, solutions

    def block(self, k: int, y: Tensor) -> tuple[Tensor, Solution | None]:
        """Output of block k alone."""
        prepared = self._prepared[k]
        if isinstance(prepared.block, Equilibrium):
            return self._solve(prepared, y, None)
        return _EXPLICIT[type(prepared.block)](prepared, y), None

    def _solve(self, p: _Prepared, x: Tensor, z0: Tensor | None) -> tuple[Tensor, Solution]:
        if p.solver is None:
            raise UnsupportedError("an equilibrium block without a solver")
        a = p.arrays
        c = x @ a["U"].T + a["b_z"]
        z, solution = equilibrium(a["W"], c, p.solver, z0, strict=self.strict)
        return z @ a["G"].T + a["b_y"], solution


def _residual(p: _Prepared, x: Tensor) -> Tensor:
    assert isinstance(p.block, Residual)
    a = p.arrays
    s = p.block.sigma.forward(x @ a["W"] + a["b"])
    return x - 2.0 * (s * a["D"]) @ a["W"].T


def _activation(p: _Prepared, x: Tensor) -> Tensor:
    assert isinstance(p.block, Activation)
    return p.block.sigma.forward(x)


_EXPLICIT: dict[type[Block], Callable[[_Prepared, Tensor], Tensor]] = {
    Normalize: lambda p, x: (x - p.arrays["mean"]) / p.arrays["std"],
    Affine: lambda p, x: x @ p.arrays["W"].T + p.arrays["b"],
    Residual: _residual,
    Activation: _activation,
}
