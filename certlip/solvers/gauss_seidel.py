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

import numpy as np
import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.blocks.image import channel_sigma
from certlip.errors import InputError
from certlip.linalg.operators import Operator, as_operator
from certlip.linalg.triangular import nearly_lower_blocks
from certlip.solvers.base import Solution
from certlip.solvers.iterative import IterativeSolver, State
from certlip.solvers.peaceman_rachford import PeacemanRachford
from certlip.solvers.sweeps import sweep_for

SLOW = 0.7  # a sweep that leaves more than this share of the residual is not worth repeating
FEW = 500  # iterations of a splitting that may not converge
MOST_BLOCKS = 64  # more blocks than this cost more in calls than they save in sweeps
LARGEST_ABOVE = 0.25  # of the largest entry of W, that an entry above the blocks may have
SMALL_ENTRY = 0.02  # of the largest entry of W, below which an entry makes no block of its own
LAG = 0.3  # a plain sweep that leaves more than this share is worth a correction
BUILDS = 4  # sweeps of a call after which a correction may be computed
SMALL_REST = 0.05  # a norm of E below which plain sweeps contract fast enough


class GaussSeidel(IterativeSolver):
    """Sweeps while they contract, Peaceman–Rachford from there on.

    With `compact` sweeps that contract slowly get a correction, computed from the slopes of the rows at
    hand and kept for later calls; without it a result may depend on its own row alone, so sweeps stay
    plain.

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
        self.corrected = compact and self.sweep.rest() > SMALL_REST
        self._correction: Tensor | None = None
        self._adjoint_correction: Tensor | None = None
        self._builds, self._lags = 0, False
        self._comparable, self._was_estimated = True, False

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
        return PeacemanRachford(mean, sigma, tol=1e-3, max_iter=200)

    def axis(self, key: str) -> int:
        return self.sweep.row_axis.get(key, 0)

    def solve(self, c: Tensor, z0: Tensor | None = None) -> Solution:
        self._builds, self._lags = 0, False
        self._comparable, self._was_estimated = True, False
        return super().solve(c, z0)

    def begin(self, z: Tensor | None, c: Tensor) -> State:
        mean = None
        if z is None and self.corrected and self.W.repeat > 1:
            # the equilibrium of the mean of c over the pixels, where W is far from triangular
            mean = c.reshape(c.shape[0], self.W.units, self.W.repeat).mean(dim=2)
            mean = self.mean_field.solve(mean).z
        return self.sweep.begin(z, c, mean)

    def advance(self, state: State) -> State:
        if "e" in state and self._correction is not None:
            self.sweep.add(state, state["e"])
        estimates = self.compact and self.sweep.estimates
        if self._correction is None and not (estimates or self._lags):
            self.sweep.forward(state)
            return state
        before = self.sweep.memory(state)
        self.sweep.forward(state)
        if self._lags:
            self._correction = self._built(self.sweep.slopes(state))
            self._builds += 1
            # the first slopes are far from those at the equilibrium: a few more times
            self._lags = self._builds < BUILDS
        if self._correction is None and not estimates:
            return state
        blocks = self.sweep.E if self._correction is None else self._correction
        e, estimate = self.sweep.change(state, before, blocks)
        return {**state, "e": e, "estimate": estimate}

    def _built(self, J: Tensor, *, adjoint: bool = False) -> Tensor | None:
        """The correction for averaged slopes (rows, units), or None where there is none."""
        J = J[J.isfinite().all(dim=1)].mean(dim=0)
        try:
            correction = self.sweep.correction(self.W, J, adjoint=adjoint)
        except RuntimeError:  # I − J̄W is singular
            return None
        return correction if bool(torch.view_as_real(correction + 0j).isfinite().all()) else None

    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        """An estimate of the residual (a bound where sweeps are plain), and the residual itself once
        the estimate is small enough for some row."""
        # without `compact` no row may be measured or not because of the others
        self._comparable = True
        if "estimate" not in state or not self.compact:
            return self.sweep.measured(state)
        size = self.sweep.size(state)
        # no row may be accepted by an estimate: the residual could be a little above it
        if bool(self.accepts(size, state["estimate"]).any()):
            self._comparable = not self._was_estimated
            self._was_estimated = False
            return self.sweep.measured(state)
        self._was_estimated = True
        return state["estimate"], size

    def point(self, state: State) -> Tensor:
        return self.sweep.point(state)

    def gives_up(self, iteration: int, before: Tensor, now: Tensor) -> Tensor:
        if iteration == 1 or not self._comparable:  # with nothing, or an estimate with a residual
            return ~now.isfinite()
        lag = LAG if self._correction is None else SLOW
        if self.corrected and self._builds < BUILDS and bool((now > lag * before).any()):
            self._lags = True
        if self._lags:
            return ~now.isfinite()
        return ~(now <= SLOW * before)

    def rescue(self, c: Tensor, z: Tensor) -> Solution:
        iterations, solution = 0, None
        for solver in self.fallbacks:
            start = z if solution is None else torch.where(solution.z.isfinite(), solution.z, z)
            solution = solver.solve(c, start)
            iterations += solution.iterations
            if solution.converged:
                break
        assert solution is not None
        return Solution(solution.z, solution.residual, iterations, solution.converged)

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        state = self.sweep.begin(torch.zeros_like(g), g)
        state["J"] = self.sweep.begin(J, J)["c"]
        allowed = self.atol + self.tol * g.norm(dim=-1)
        previous, built = torch.full_like(allowed, torch.inf), False
        for _ in range(self.max_iter):
            before = self.sweep.memory(state)
            self.sweep.backward(state)
            v = self.sweep.point(state).clone()
            residual = self.adjoint_residual(J, g, v)
            if bool((residual <= allowed).all()):
                return v
            may_build = self.corrected and not built
            lag = LAG if may_build and self._adjoint_correction is None else SLOW
            if not bool((residual <= lag * previous).all()):
                if not may_build:
                    break
                mean = J.reshape(len(J), self.W.units, self.W.repeat).mean(dim=2)
                self._adjoint_correction = self._built(mean, adjoint=True)
                built = True
            previous = torch.maximum(residual, allowed)
            if self._adjoint_correction is not None:
                e, _ = self.sweep.change(state, before, self._adjoint_correction)
                self.sweep.add(state, e)
        for solver in self.fallbacks:
            v = solver.adjoint(J, g)
            if bool((self.adjoint_residual(J, g, v) <= allowed).all()):
                break
        return v


def blocks_of(W: Tensor | Operator) -> list[slice] | None:
    """The blocks of units to sweep over, or None where W has no such structure."""
    W = as_operator(W)
    pattern = W.pattern().cpu().numpy()
    largest = float(pattern.max(initial=0.0))
    above = float(np.triu(pattern).max(initial=0.0)) / largest if largest > 0.0 else 1.0
    if not above <= LARGEST_ABOVE:
        return None
    # what is above the blocks is taken for zero, and whatever is as small with it
    blocks = nearly_lower_blocks(pattern, max(1.2 * above, SMALL_ENTRY))
    if blocks is None:
        return None
    return blocks if 1 < len(blocks) <= min(MOST_BLOCKS, W.units // 2) else None
