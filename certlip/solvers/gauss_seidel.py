"""Block Gauss–Seidel sweeps for a W that is almost strictly block lower-triangular.

A fine-tuned LBEN is a perturbation of an explicit network: W = W_△ + E, W_△ its strictly block lower
part. One sweep z_B ← σ(W_B z + c_B), block after block with the newest values, is forward substitution
through W_△ with E z from the sweep before; it contracts at a rate ≤ κ‖E‖, κ the Lipschitz constant of
w ↦ z = σ(W_△z + w): a handful of sweeps where Peaceman–Rachford needs 60 to 200. Where E is not small
(fine-tuning moves the mean of a kernel more than the rest of it), what a sweep leaves is corrected with
averaged slopes (see `sweeps`). Both may fail to contract; the residuals are watched, and rows that do not
contract are handed to Peaceman–Rachford.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.blocks.image import channel_sigma
from certlip.errors import InputError
from certlip.linalg.operators import Operator
from certlip.solvers.base import Solution
from certlip.solvers.iterative import IterativeSolver, State
from certlip.solvers.peaceman_rachford import PeacemanRachford
from certlip.solvers.secant import secant_step
from certlip.solvers.sweep_choice import MOST_BLOCKS, sweep_for
from certlip.solvers.sweep_choice import blocks_of as blocks_of
from certlip.solvers.sweeps import Sweep

SLOW = 0.7  # a sweep that leaves more than this share of the residual is not worth repeating
FEW = 500  # iterations of a splitting that may not converge
LAG = 0.3  # a plain sweep that leaves more than this share is worth a correction
BUILDS = 4  # sweeps of a call after which a correction may be computed
ENOUGH = 0.9  # of the rows have a small estimate, then residuals are measured
SKIP = 0.1  # a residual is not measured before this share of its bound ‖E‖‖Δ‖ is small
LARGE = 1024  # states, from which on single precision comes first
ROUGH = 0.9, 3e-6  # its tolerance: a share of that of the solver, and what it reaches for sure
UNKNOWN = 1e30  # in place of a residual that is probably small enough and was not measured
TANGENT, TANGENTS = 1e-3, 6  # how far a tangent is solved, and in how many sweeps at most
SMALL_REST = 0.05  # a norm of E below which plain sweeps contract fast enough


class GaussSeidel(IterativeSolver):
    """Sweeps while they contract, Peaceman–Rachford from there on.

    Where E is not small, rows take secant steps between sweeps. With `compact` sweeps that contract
    slowly get a correction as well, computed from the slopes of the rows at hand and kept for later
    calls; without it a result may depend on its own row alone, and a correction is that of
    `calibrate` or none.

    Raises:
        InputError: W is not almost block lower-triangular with few blocks.
    """

    name = "gauss-seidel"
    leave: ClassVar[float] = 0.3  # gathering the last axis costs more than a sweep of the others

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
        self.metric, self.blocks = metric, blocks
        self.sweep = sweep_for(self.W, sigma, blocks)
        self.far = self.sweep.rest > SMALL_REST
        self.patience = int(self.far)  # a secant step may fail once
        self.corrected, self.calibrated = compact and self.far, False
        self._correction: Tensor | None = None
        self._adjoint_correction: Tensor | None = None
        self._builds, self._lags = 0, False
        self._comparable, self._estimated = True, False
        self._waiting: Tensor | None = None

    @cached_property
    def fallbacks(self) -> list[PeacemanRachford]:
        """Made only where a sweep did not contract: the plain splitting, which is the faster one as a
        rule, and then the one in the metric of (3), which always converges."""
        metrics = [None] if self.metric is None else [None, self.metric]
        return [
            PeacemanRachford(
                self.W,
                self.sigma,
                metric=metric,
                tol=self.tol,
                atol=self.atol,
                max_iter=FEW if metric is None and self.metric is not None else None,
                compact=self.compact,
            )
            for metric in metrics
        ]

    @cached_property
    def mean_field(self) -> PeacemanRachford:
        """The equilibrium of images that are constant per channel: the block of frequency 0."""
        mean = self.W.blocks()[0].real.contiguous()
        sigma = channel_sigma(self.sigma, self.W.repeat)
        return PeacemanRachford(mean, sigma, tol=1e-3, max_iter=200, compact=False)

    @cached_property
    def backward_sweep(self) -> Sweep:
        """For the adjoint system, where the slopes of linear units are whatever they are."""
        return sweep_for(self.W, self.sigma, self.blocks, eliminate=False)

    def axis(self, key: str) -> int:
        return 0 if key in ("estimate", "size") else self.sweep.row_axis

    @cached_property
    def rough(self) -> GaussSeidel | None:
        """The same in single precision, for most of the way where that is worth it."""
        if self.W.dtype != torch.float64 or not self.corrected or self.W.out_width < LARGE:
            return None
        share, least = ROUGH
        tol, atol = (max(share * allowed, least) for allowed in (self.tol, self.atol))
        solver = GaussSeidel(self.W.in_single(), self.sigma, tol=tol, atol=atol)
        solver.fallbacks = []
        return solver

    def calibrate(self, c: Tensor) -> None:
        """Corrects by the slopes of rows c from now on: whatever is solved, in the same way.

        A result then depends on its own row alone. It is accepted by its estimate, and what is told as its
        residual is that estimate: for a caller who bounds the true residual anyway.
        """
        if not self.far:
            return
        compact, self.compact, self.corrected = self.compact, True, True
        IterativeSolver.solve(self, c)
        self.compact, self.calibrated = compact, True

    def solve(self, c: Tensor, z0: Tensor | None = None) -> Solution:
        self._builds, self._lags = BUILDS if self.calibrated else 0, False
        self._comparable, self._estimated = True, False
        if z0 is not None or self.calibrated or self.rough is None:
            return super().solve(c, z0)
        rough = self.rough.solve(c.float())
        z = rough.z.double()
        z = torch.where(z.isfinite().all(dim=1, keepdim=True), z, 0.0)
        solution = super().solve(c, z)
        iterations = rough.iterations + solution.iterations
        return Solution(solution.z, solution.residual, iterations, solution.converged)

    def begin(self, z: Tensor | None, c: Tensor) -> State:
        mean = None
        if z is None and self.corrected and self.W.repeat > 1:
            # the equilibrium of the mean of c over the pixels, where W is far from triangular
            mean = c.reshape(c.shape[0], self.W.units, self.W.repeat).mean(dim=2)
            mean = self.mean_field.solve(mean).z
        return self.sweep.begin(z, c, mean)

    def advance(self, state: State) -> State:
        if not self.far:
            self.sweep.forward(state)
            return state
        read = self.sweep.read(state)
        before = state.get("next")
        if before is None:
            before = read.clone()
        else:
            read.copy_(before)
        self.sweep.forward(state)
        if self._lags:
            self._correction = self.sweep.correction(self.sweep.slopes(state))
            self._builds += 1
            # the first slopes are far from those at the equilibrium: a few more times
            self._lags = self._builds < BUILDS
        f = torch.sub(read, before, out=before)
        T = state.get("spare")
        T = torch.empty_like(f) if T is None else T
        if self._correction is None:
            state["estimate"] = SKIP * self.sweep.rest * self.sweep.norm(f)
            T.copy_(read)
        else:
            e = self.sweep.product(self._correction, f, out=T)
            state["estimate"] = self.sweep.norm(e)
            f, T = f.add_(e), e.add_(read)
        return secant_step(self.sweep, state, T, f)

    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        """An estimate of the residual, and the residual itself once the estimate is small enough for
        enough rows."""
        was, self._estimated, self._waiting = self._estimated, False, None
        if "estimate" in state and "size" not in state and (self.compact or self.calibrated):
            state["size"] = self.sweep.size(state)  # about the same from the first sweep on
        if self.calibrated and "estimate" in state:
            return state["estimate"], state["size"]
        # without `compact` no row may be measured or not because of the others
        if "estimate" in state and self.compact:
            small = self.accepts(state["size"], state["estimate"])
            if int(small.sum()) <= ENOUGH * len(small):
                # no row may be accepted by an estimate: the residual could be a little above it
                self._comparable, self._estimated, self._waiting = was, True, small
                return torch.where(small, UNKNOWN, state["estimate"]), state["size"]
        self._comparable = not was
        return self.sweep.residual(state), self.sweep.size(state)

    def point(self, state: State) -> Tensor:
        return self.sweep.point(state)

    def points(self, state: State, rows: Tensor) -> Tensor:
        z = self.sweep.point(state)
        return z if bool(rows.all()) else z[rows]

    def gives_up(self, iteration: int, before: Tensor, now: Tensor) -> Tensor:
        if iteration == 1 or not self._comparable:  # with nothing, or an estimate with a residual
            return ~now.isfinite()
        lag = LAG if self._correction is None else SLOW
        slow, late = ~(now <= SLOW * before), ~(now <= lag * before)
        if self._waiting is not None:
            slow, late = slow & ~self._waiting, late & ~self._waiting
        if self.corrected and self._builds < BUILDS and bool(late.any()):
            self._lags = True
        return ~now.isfinite() if self._lags else slow

    def rescue(self, c: Tensor, z: Tensor) -> Solution | None:
        if not self.fallbacks:
            return None
        iterations, solution = 0, None
        for solver in self.fallbacks:
            start = z if solution is None else torch.where(solution.z.isfinite(), solution.z, z)
            solution = solver.solve(c, start)
            iterations += solution.iterations
            if solution.converged:
                break
        assert solution is not None
        return Solution(solution.z, solution.residual, iterations, solution.converged)

    def tangent(self, J: Tensor, g: Tensor) -> Tensor:
        """δ = J W δ + g per row, roughly: to a thousandth, or what a few sweeps give.

        A row stays as it is once it is that far, however long the others take.
        """
        state = self.sweep.begin_tangent(J, g)
        allowed = TANGENT * g.norm(dim=-1)
        tangent, running = torch.zeros_like(g), torch.ones_like(allowed, dtype=torch.bool)
        for sweep in range(TANGENTS):
            state = self.advance(state)
            last = running.clone()
            if sweep < TANGENTS - 1:
                last &= state["estimate"] <= allowed if "estimate" in state else False
            if bool(last.any()):
                tangent[last] = self.points(state, last)
                running &= ~last
            if not bool(running.any()):
                break
        return tangent

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        sweep = self.backward_sweep
        state = sweep.begin(torch.zeros_like(g), g)
        state["J"] = sweep.arranged(J)
        allowed = self.atol + self.tol * g.norm(dim=-1)
        previous, built = torch.full_like(allowed, torch.inf), False
        for _ in range(self.max_iter):
            before = sweep.read(state).clone()
            sweep.backward(state)
            v = sweep.point(state).clone()
            residual = self.adjoint_residual(J, g, v)
            if bool((residual <= allowed).all()):
                return v
            may_build = self.corrected and not built
            lag = LAG if may_build and self._adjoint_correction is None else SLOW
            if not bool((residual <= lag * previous).all()):
                if not may_build:
                    break
                mean = sweep.averaged(state["J"])
                self._adjoint_correction = sweep.correction(mean, adjoint=True)
                built = True
            previous = torch.maximum(residual, allowed)
            if self._adjoint_correction is not None:
                read = sweep.read(state)
                read.add_(sweep.product(self._adjoint_correction, read - before))
        for solver in self.fallbacks:
            v = solver.adjoint(J, g)
            if bool((self.adjoint_residual(J, g, v) <= allowed).all()):
                break
        return v
