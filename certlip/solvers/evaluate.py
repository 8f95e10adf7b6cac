"""Evaluates a frozen network: the guesses of certification, and the gradients of attacks.

Nothing here is trusted. Any dtype and device will do; `certify` bounds the errors afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks import Network
from certlip.solvers.base import Solution
from certlip.solvers.prepared import Implicit, prepared


class Evaluator:
    """A frozen network ready to run: resolvents and spectra are computed here once, not per batch.

    Args:
        strict: Whether a gradient that was not solved for raises.
        compact: Whether converged rows leave the batch and stop costing. Without it a row's result does
            not depend on when the others converge, not even in its last bits.
    """

    def __init__(
        self,
        network: Network,
        *,
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
        tol: float | None = None,
        strict: bool = True,
        compact: bool = True,
    ) -> None:
        self.network, self.dtype, self.device = network, dtype, device
        self._prepared = [
            prepared(block, dtype, device, tol=tol, strict=strict, compact=compact)
            for block in network.blocks
        ]

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
        for k, part in enumerate(self._prepared):
            if isinstance(part, Implicit):
                y, solutions[k] = part.solve(y, (starts or {}).get(k))
            else:
                y = part(y)
        return y, solutions

    def block(
        self, k: int, y: Tensor, start: Tensor | None = None
    ) -> tuple[Tensor, Solution | None]:
        """Output of block k alone, from a state to start its solver from if there is one."""
        part = self._prepared[k]
        return part.solve(y, start) if isinstance(part, Implicit) else (part(y), None)

    def implicit(self, k: int) -> Implicit:
        """Equilibrium block k."""
        part = self._prepared[k]
        assert isinstance(part, Implicit)
        return part

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Lets the solvers learn from rows x, and from these alone: see `Implicit.calibrate`."""
        for part in self._prepared:
            if isinstance(part, Implicit):
                part.calibrate(x)
                x = part.solve(x, None)[0]
            else:
                x = part(x)
