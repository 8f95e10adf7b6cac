"""Block Gauss–Seidel sweeps for a W that is almost strictly block lower-triangular.

A fine-tuned LBEN is a small perturbation of an explicit network: W = W_△ + E, W_△ its strictly block
lower part. One sweep z_B ← σ(W_B z + c_B), block after block with the newest values, is forward
substitution through W_△ with E z from the sweep before; it contracts at a rate ≤ κ‖E‖, κ the Lipschitz
constant of w ↦ z = σ(W_△z + w): a handful of sweeps where Peaceman–Rachford needs 60 to 200, and no
inverse. κ can grow with depth, so the residuals are watched and rows that do not contract are handed to
Peaceman–Rachford.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.errors import InputError
from certlip.linalg.operators import Operator, as_operator
from certlip.linalg.triangular import nearly_lower_blocks
from certlip.solvers.base import Solution
from certlip.solvers.iterative import IterativeSolver, State
from certlip.solvers.peaceman_rachford import PeacemanRachford
from certlip.solvers.sweeps import sweep_for

SLOW = 0.7  # a sweep that leaves more than this share of the residual is not worth repeating
MOST_BLOCKS = 64  # more blocks than this cost more in calls than they save in sweeps


class GaussSeidel(IterativeSolver):
    """Sweeps while they contract, Peaceman–Rachford from there on.

    Raises:
        InputError: W is not almost block lower-triangular with few blocks.
    """

    name = "gauss-seidel"

    def __init__(
        self,
        W: Tensor | Operator,
        sigma: Sigma,
        *,
        metric: Tensor | None = None,
        tol: float | None = None,
        atol: float | None = None,
        max_iter: int = 100,
        compact: bool = True,
    ) -> None:
        super().__init__(W, sigma, tol=tol, atol=atol, max_iter=max_iter, compact=compact)
        blocks = blocks_of(W)
        if blocks is None:
            raise InputError(
                f"W of order {self.W.units} is not almost block lower-triangular: "
                "expected at most "
                f"{MOST_BLOCKS} blocks with small diagonal and upper parts"
            )
        self.metric = metric
        self.sweep = sweep_for(self.W, sigma, blocks)

    @cached_property
    def fallback(self) -> PeacemanRachford:
        """Made only where a sweep did not contract."""
        return PeacemanRachford(
            self.W,
            self.sigma,
            metric=self.metric,
            tol=self.tol,
            atol=self.atol,
            compact=self.compact,
        )

    def axis(self, key: str) -> int:
        return self.sweep.row_axis.get(key, 0)

    def begin(self, z: Tensor, c: Tensor) -> State:
        return self.sweep.begin(z, c)

    def advance(self, state: State) -> State:
        self.sweep.forward(state)
        return state

    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        return self.sweep.measured(state)

    def point(self, state: State) -> Tensor:
        return self.sweep.point(state)

    def gives_up(self, iteration: int, before: Tensor, now: Tensor) -> Tensor:
        # the first sweep is compared with nothing
        return (now > SLOW * before) | now.isnan() if iteration > 1 else now.isnan()

    def rescue(self, c: Tensor, z: Tensor) -> Solution:
        return self.fallback.solve(c, z)

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        state = self.sweep.begin(torch.zeros_like(g), g)
        state["J"] = self.sweep.begin(J, J)["c"]
        allowed = self.atol + self.tol * g.norm(dim=-1)
        previous = torch.full_like(allowed, torch.inf)
        for _ in range(self.max_iter):
            self.sweep.backward(state)
            v = self.sweep.point(state)
            residual = self.adjoint_residual(J, g, v)
            if bool((residual <= allowed).all()):
                return v
            if not bool((residual <= SLOW * previous).all()):
                break
            previous = torch.maximum(residual, allowed)
        return self.fallback.adjoint(J, g)


def blocks_of(W: Tensor | Operator) -> list[slice] | None:
    """The blocks of units to sweep over, or None where W has no such structure."""
    W = as_operator(W)
    blocks = nearly_lower_blocks(W.pattern().cpu().numpy())
    if blocks is None:
        return None
    return blocks if 1 < len(blocks) <= min(MOST_BLOCKS, W.units // 2) else None
