"""Our own interior-point solver for the structure of (10): seconds where a cone solver takes minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from certlip.errors import InputError
from certlip.lmi.candidate import FAILED, INACCURATE, OPTIMAL, STOPPED, Candidate
from certlip.lmi.interior.follow import Path, follow
from certlip.lmi.interior.lipschitz import ROOM, LipschitzBarrier
from certlip.lmi.interior.start import lipschitz_start, monotone_start, reaches
from certlip.lmi.problem import Problem
from certlip.lmi.solvers.base import Capabilities, MultiplierSolver
from certlip.lmi.solvers.units import Units


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
        self.max_seconds = float(options.get("max_seconds", math.inf))
        if not 0.0 < self.tol < 1.0:
            raise InputError(f"{self.name} option tol = {self.tol!r}: expected one in (0, 1)")
        if math.isnan(self.max_seconds):
            raise InputError(f"{self.name} option max_seconds = nan: expected a number")
        #: Called with the number of each step, L and the relative gap of the output maps.
        self.progress: Callable[[int, np.ndarray, np.ndarray], None] | None = None

    @torch.no_grad()
    def minimise(self, problem: Problem, start: np.ndarray | None = None) -> list[Candidate]:
        return self._solved(problem, start, None)

    @torch.no_grad()
    def feasible(
        self, problem: Problem, lip: float, start: np.ndarray | None = None
    ) -> list[Candidate]:
        return self._solved(problem, start, lip)

    @torch.no_grad()
    def monotone(self, problem: Problem) -> np.ndarray | None:
        """A Γ (n,) that satisfies (3), as far as floating point can tell; None if none was found."""
        units = Units.of(problem)
        gam = self._monotone(units.scaled(problem), units, self._deadline())
        return None if gam is None else units.gam(gam).cpu().numpy()

    def _solved(
        self, problem: Problem, start: np.ndarray | None, lip: float | None
    ) -> list[Candidate]:
        began, deadline = time.monotonic(), self._deadline()
        units = Units.of(problem)
        problem = units.scaled(problem)
        gam = self._start(problem, units, start, deadline)
        if gam is None:
            late = time.monotonic() > deadline
            message = (
                f"{'no time to find' if late else 'there seems to be no'} Γ that satisfies (3)"
            )
            about = (STOPPED if late else FAILED, self.name, 0, time.monotonic() - began)
            return [Candidate(None, np.inf, *about, message=message)] * problem.count
        wanted = None if lip is None else lip / units.lip(1.0)
        live = (problem.G != 0).flatten(1).any(dim=1) & (problem.U != 0).any()
        path = None
        if bool(live.any()):
            path = self._path(replace(problem, G=problem.G[live]), gam, wanted, units, deadline)
        seconds, found, k = time.monotonic() - began, [], 0
        for b, alive in enumerate(live.tolist()):
            if alive and path is not None:
                found.append(self._candidate(path, k, units, lip, seconds))
                k += 1
            else:
                found.append(self._constant(problem, b, gam, units, lip, seconds))
        return found

    def _deadline(self) -> float:
        return time.monotonic() + self.max_seconds

    def _start(
        self, problem: Problem, units: Units, start: np.ndarray | None, deadline: float
    ) -> Tensor | None:
        """Γ of the scaled problem: what was given if it can be used."""
        if start is not None:
            gam = torch.as_tensor(start, dtype=torch.float64, device=problem.W.device)
            gam = gam / gam.max() * units.t**2
            gam = gam / gam.max()
            if lipschitz_start(problem, gam) is not None:
                return gam
        return self._monotone(problem, units, deadline)

    def _monotone(self, problem: Problem, units: Units, deadline: float) -> Tensor | None:
        gam = monotone_start(problem, deadline)
        if gam is not None:
            return gam
        # Γ = I of the unscaled problem may be just inside
        gam = units.t**2 / units.t.max() ** 2
        return None if lipschitz_start(problem, gam) is None else gam

    def _path(
        self, problem: Problem, gam: Tensor, lip: float | None, units: Units, deadline: float
    ) -> Path:
        """All output maps, none of them constant."""
        x = lipschitz_start(problem, gam)
        assert x is not None
        largest = ROOM * x[:, :-1].amax(dim=1, keepdim=True).expand(-1, problem.n)

        def enough(rho: Tensor, gap: Tensor) -> Tensor:
            if lip is None:
                return gap <= 2.0 * self.tol * (rho - gap)
            return (rho <= lip**2) | (rho - gap > lip**2)

        def progress(iteration: int, rho: Tensor, gap: Tensor) -> None:
            if self.progress is not None:
                bound, relative = units.lip(1.0) * rho.sqrt(), _relative(rho, gap)
                self.progress(iteration, bound.cpu().numpy(), relative.cpu().numpy())

        barrier = LipschitzBarrier.of(problem, largest)
        return follow(barrier, x, enough, deadline=deadline, progress=progress)

    def _candidate(
        self, path: Path, k: int, units: Units, lip: float | None, seconds: float
    ) -> Candidate:
        """Number k of a path, whose last variable is ρ."""
        rho = path.x[k, -1]
        reached = units.lip(float(rho.sqrt()))
        bound = reached if lip is None else lip
        lam = units.lam(path.x[k, :-1]) * (units.lip(1.0) / bound if bound > 0.0 else math.nan)
        gap = float(_relative(rho, path.gap[k]))
        status = OPTIMAL if path.done[k] else STOPPED if path.timed_out else INACCURATE
        message = ""
        if lip is not None and not reached <= lip:
            message = f"L = {lip!r} seems to be out of reach"
        if not (0.0 < bound < np.inf and lam.isfinite().all() and (lam > 0.0).all()):
            message = "the numbers of the block are too large or too small"
        about = (self.name, path.iterations, seconds, gap, message)
        if message:
            return Candidate(None, bound, FAILED, *about)
        return Candidate(lam.cpu().numpy(), bound, status, *about)

    def _constant(
        self,
        problem: Problem,
        k: int,
        gam: Tensor,
        units: Units,
        lip: float | None,
        seconds: float,
    ) -> Candidate:
        """U = 0 or G = 0: any L > 0 holds with a large or a small multiple of Γ."""
        bound = units.lip(1e-6) if lip is None else lip
        reached = reaches(replace(problem, G=problem.G[k : k + 1]), gam)
        assert reached is not None
        a, b = (float(value.max()) for value in reached)
        scaled = bound / units.lip(1.0)
        multiple = 2.0 * a / scaled if a > 0.0 else scaled / (2.0 * b) if b > 0.0 else 1.0
        lam = units.lam(multiple * gam).cpu().numpy()
        return Candidate(lam, bound, OPTIMAL, self.name, 0, seconds, None, "constant map")


def _relative(rho: Tensor, gap: Tensor) -> Tensor:
    """A bound of L/L* − 1 for a bound of ρ − ρ*, ρ = L²."""
    return torch.where(gap < rho, gap / (2.0 * (rho - gap)), torch.inf)
