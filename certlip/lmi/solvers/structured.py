"""Our own interior-point solver for the structure of (10): seconds where a cone solver takes minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from certlip.lmi.candidate import FAILED, INACCURATE, OPTIMAL, STOPPED, Candidate
from certlip.lmi.interior.follow import Path, follow
from certlip.lmi.interior.lipschitz import ROOM, LipschitzBarrier
from certlip.lmi.interior.start import lipschitz_start, monotone_start
from certlip.lmi.problem import Problem
from certlip.lmi.solvers.base import Capabilities, MultiplierSolver

Enough = Callable[[Tensor, Tensor], Tensor]


class Structured(MultiplierSolver):
    """Minimises L over all Λ by a path-following method whose Newton step is a few products of order n.

    Args:
        tol: Relative gap of L at which it stops, 1e-6 unless given.
        max_seconds: A limit after which the best point so far is returned.
    """

    name = "structured"
    method = "structured"
    capabilities: ClassVar[Capabilities] = Capabilities(gpu=True, starts=True, largest=6000)
    options_known: ClassVar[Mapping[str, type]] = {"tol": float, "max_seconds": float}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.tol = float(options.get("tol", 1e-6))
        self.max_seconds = options.get("max_seconds")
        #: Called with the number of each step, L and the relative gap of every output map.
        self.progress: Callable[[int, np.ndarray, np.ndarray], None] | None = None

    @torch.no_grad()
    def minimise(self, problem: Problem, start: np.ndarray | None = None) -> list[Candidate]:
        def enough(rho: Tensor, gap: Tensor) -> Tensor:
            return gap <= 2.0 * self.tol * (rho - gap)

        return self._solved(problem, start, enough)

    @torch.no_grad()
    def feasible(
        self, problem: Problem, lip: float, start: np.ndarray | None = None
    ) -> list[Candidate]:
        def enough(rho: Tensor, gap: Tensor) -> Tensor:
            return (rho <= lip**2) | (rho - gap > lip**2)

        return self._solved(problem, start, enough, lip)

    def _solved(
        self,
        problem: Problem,
        start: np.ndarray | None,
        enough: Enough,
        lip: float | None = None,
    ) -> list[Candidate]:
        began = time.monotonic()
        deadline = None if self.max_seconds is None else began + self.max_seconds
        live = (problem.G != 0).flatten(1).any(dim=1)
        constant = not bool((problem.U != 0).any())
        gam = self._start(problem, start, deadline)
        if gam is None:
            late = deadline is not None and time.monotonic() > deadline
            why = "no time to find" if late else "there seems to be no"
            message = f"{why} Γ that satisfies (3)"
            failed = Candidate(
                None, np.inf, STOPPED if late else FAILED, self.name, 0, time.monotonic() - began,
                message=message,
            )  # fmt: skip
            return [failed] * problem.count
        if constant or not bool(live.any()):
            return [self._constant(problem, gam, b, lip, began) for b in range(problem.count)]
        alive = Problem(problem.W, problem.U, problem.G[live])
        x = lipschitz_start(alive, gam)
        assert x is not None
        barrier = LipschitzBarrier.of(alive, ROOM * x[:, :-1])
        path = follow(barrier, x, enough, deadline=deadline, progress=self._progress)
        found = iter(self._candidates(path, lip, time.monotonic() - began))
        return [
            next(found) if alive_b else self._constant(problem, gam, b, lip, began)
            for b, alive_b in enumerate(live.tolist())
        ]

    def _start(
        self, problem: Problem, start: np.ndarray | None, deadline: float | None
    ) -> Tensor | None:
        if start is not None:
            gam = torch.as_tensor(start, dtype=torch.float64, device=problem.W.device)
            gam = gam / gam.max()
            if lipschitz_start(problem, gam) is not None:
                return gam
        return monotone_start(problem, deadline)

    def _candidates(self, path: Path, lip: float | None, seconds: float) -> list[Candidate]:
        found = []
        for x, gap, done in zip(path.x, path.gap.tolist(), path.done.tolist(), strict=True):
            rho = float(x[-1])
            bound = rho**0.5 if lip is None else lip
            relative = gap / (2.0 * max(rho - gap, 1e-300)) if gap < rho else np.inf
            status = OPTIMAL if done else STOPPED if path.timed_out else INACCURATE
            message = ""
            if lip is not None and rho > lip**2:
                status, message = FAILED, f"L = {lip!r} seems to be out of reach"
            lam = (x[:-1] / bound).cpu().numpy()
            found.append(
                Candidate(
                    lam, bound, status, self.name, path.iterations, seconds, relative, message
                )
            )
        return found

    def _constant(
        self, problem: Problem, gam: Tensor, b: int, lip: float | None, began: float
    ) -> Candidate:
        """U = 0 or G = 0: every L > 0 holds, with multiples of Γ small or large enough."""
        scale = float(problem.U.abs().max() + problem.G[b].abs().max()) or 1.0
        bound = 1e-6 * scale if lip is None else lip
        x = lipschitz_start(Problem(problem.W, problem.U + 0.0, problem.G[b : b + 1]), gam)
        assert x is not None
        a, gam_x = float(problem.G[b].abs().max()), gam
        if a > 0.0:  # U = 0: 2a of `start`, over L
            lam = x[0, :-1] / bound
        else:  # G = 0: ΛKΛ/L is to be at most half of what (3) leaves
            one = lipschitz_start(
                Problem(problem.W, problem.U, torch.ones_like(problem.G[b : b + 1])), gam
            )
            assert one is not None
            s = float(one[0, 0] / gam[0])
            largest = float(one[0, -1]) / (4.0 * s)  # WIDER·2b ≥ b
            lam = gam_x * bound / max(largest, 1e-300)
        seconds = time.monotonic() - began
        return Candidate(
            lam.cpu().numpy(), bound, OPTIMAL, self.name, 0, seconds, None, "constant map"
        )

    def _progress(self, iteration: int, rho: Tensor, gaps: Tensor) -> None:
        if self.progress is not None:
            self.progress(iteration, rho.sqrt().cpu().numpy(), gaps.cpu().numpy())
