"""The loop that all iterative solvers share: per-row convergence, and rows that leave when done.

A converged row keeps its state and is not iterated any further. With `compact` converged rows leave
the batch, so that they cost nothing; without it every row is computed with the same neighbours
from the first to the last iteration, and its result does not depend on when those converge.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.linalg.operators import Operator
from certlip.solvers.base import EquilibriumSolver, Solution

State = dict[str, Tensor]


class IterativeSolver(EquilibriumSolver):
    """z ← advance(z) until the residual is small.

    A state is a dict of tensors, with the rows of the batch on axis `axis(key)`.
    """

    check_every = 1  # iterations between two residuals, each of which costs an application of W
    #: Rows leave when at most this share of the batch is still running: moving them costs too.
    leave: ClassVar[float] = 0.8
    #: How many times in a row `gives_up` may hold for a row that goes on all the same.
    patience: int = 0

    def __init__(
        self,
        W: Tensor | Operator,
        sigma: Sigma,
        *,
        tol: float | None = None,
        atol: float | None = None,
        max_iter: int,
        compact: bool = True,
    ) -> None:
        super().__init__(W, sigma, tol=tol, atol=atol, max_iter=max_iter)
        self.compact = compact

    @abstractmethod
    def begin(self, z: Tensor | None, c: Tensor) -> State:
        """The state of the iteration at z (batch, n), which the solver may choose if it is None."""

    @abstractmethod
    def advance(self, state: State) -> State:
        """One iteration."""

    @abstractmethod
    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        """Residual and norm of z per row."""

    @abstractmethod
    def point(self, state: State) -> Tensor:
        """z (rows, n)."""

    def points(self, state: State, rows: Tensor) -> Tensor:
        """z of some rows."""
        return self.point(self.select(state, rows))

    def axis(self, key: str) -> int:
        """On which axis a tensor of the state has its rows."""
        del key
        return 0

    def gives_up(self, iteration: int, before: Tensor, now: Tensor) -> Tensor:
        """Rows that should not go on, by the residuals before and after the last iterations."""
        del iteration, before
        return ~now.isfinite()

    def rescue(self, c: Tensor, z: Tensor) -> Solution | None:
        """What else can be done for rows that did not converge."""
        del c, z
        return None

    def solve(self, c: Tensor, z0: Tensor | None = None) -> Solution:
        rows = torch.arange(c.shape[0], device=c.device)
        best = torch.zeros_like(c) if z0 is None else z0.clone()
        state = self.begin(None if z0 is None else z0.clone(), c)
        if z0 is None:  # no guess worth measuring
            residual = torch.full(c.shape[:1], torch.inf, dtype=c.dtype, device=c.device)
            running = torch.ones_like(rows, dtype=torch.bool)
        else:
            residual, size = self.measured(state)
            running = ~self.accepts(size, residual)
        before, residual, done = residual, residual.clone(), ~running
        strikes = torch.zeros_like(rows)
        iteration = 0
        while iteration < self.max_iter and bool(running.any()):
            if self.compact and int(running.sum()) <= self.leave * len(rows):
                state = self.select(state, running)
                rows, before, strikes = rows[running], before[running], strikes[running]
                running = running[running]
            for _ in range(self.check_every):
                state = self.advance(state)
            iteration += self.check_every
            now, size = self.measured(state)
            converged = running & self.accepts(size, now)
            hopeless = self.gives_up(iteration, before, torch.where(running, now, 0.0))
            strikes = torch.where(hopeless, strikes + 1, 0)
            leaves = running & (strikes > self.patience)
            done[rows] |= converged
            # what a row leaves with is kept: its equilibrium, or a start for whatever comes next
            last = running if iteration >= self.max_iter else converged | leaves
            kept = last & (converged | (now < residual[rows]))
            if bool(kept.any()):
                best[rows[kept]] = self.points(state, kept)
                residual[rows[kept]] = now[kept]
            running = running & ~converged & ~leaves
            before = now
        if bool(done.all()):
            return Solution(best, residual, iteration, True)
        return self._rescued(c, best, residual, done, iteration)

    def _rescued(
        self, c: Tensor, best: Tensor, residual: Tensor, done: Tensor, iteration: int
    ) -> Solution:
        rest = ~done if self.compact else torch.ones_like(done)
        second = self.rescue(c[rest], best[rest])
        if second is None:
            return Solution(best, residual, iteration, False)
        best, residual = best.clone(), residual.clone()
        if self.compact:
            best[rest], residual[rest] = second.z, second.residual
        else:  # rows that were done keep their state, whoever else was not
            best = torch.where(done[:, None], best, second.z)
            residual = torch.where(done, residual, second.residual)
        return Solution(best, residual, iteration + second.iterations, second.converged)

    def select(self, state: State, rows: Tensor) -> State:
        """The state of some rows."""
        if bool(rows.all()):
            return state
        index = rows.nonzero()[:, 0]
        return {k: t.index_select(self.axis(k), index) for k, t in state.items()}
