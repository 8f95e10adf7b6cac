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
from certlip.linalg.triangular import strict_lower_blocks
from certlip.solvers.base import EquilibriumSolver, Solution
from certlip.solvers.implicit import equilibrium
from certlip.solvers.peaceman_rachford import PeacemanRachford
from certlip.solvers.substitution import Substitution


def solver_for(block: Equilibrium, W: Tensor, tol: float | None = None) -> EquilibriumSolver:
    """Forward substitution where W is triangular in storage, Peaceman–Rachford otherwise."""
    if strict_lower_blocks(block.W.numpy()) is not None:
        return Substitution(W, block.sigma, tol=tol)
    return PeacemanRachford(W, block.sigma, tol=tol)


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
    ) -> None:
        self.network, self.dtype, self.device = network, dtype, device
        self._prepared = []
        for block in network.blocks:
            arrays = {k: a.to(device=device, dtype=dtype) for k, a in block.arrays().items()}
            solver = solver_for(block, arrays["W"], tol) if isinstance(block, Equilibrium) else None
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
                y, solutions[k] = _equilibrium(prepared, y, (starts or {}).get(k))
            else:
                y = _EXPLICIT[type(prepared.block)](prepared, y)
        return y, solutions

    def block(self, k: int, y: Tensor) -> tuple[Tensor, Solution | None]:
        """Output of block k alone."""
        prepared = self._prepared[k]
        if isinstance(prepared.block, Equilibrium):
            return _equilibrium(prepared, y, None)
        return _EXPLICIT[type(prepared.block)](prepared, y), None


def _equilibrium(p: _Prepared, x: Tensor, z0: Tensor | None) -> tuple[Tensor, Solution]:
    if p.solver is None:
        raise UnsupportedError("an equilibrium block without a solver")
    a = p.arrays
    z, solution = equilibrium(a["W"], x @ a["U"].T + a["b_z"], p.solver, z0)
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
