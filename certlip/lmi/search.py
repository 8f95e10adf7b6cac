"""How the multipliers of an equilibrium block are looked for: the family's formula, or a solver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from certlip.blocks import ConvEquilibrium, Equilibrium
from certlip.errors import CertlipError, InconclusiveError, InputError, UnsupportedError
from certlip.lmi.analytic import Multipliers, multipliers
from certlip.lmi.candidate import Candidate
from certlip.lmi.interior.start import lipschitz_start
from certlip.lmi.problem import Problem
from certlip.lmi.solvers import SOLVERS, solver_named
from certlip.lmi.solvers.structured import Structured

#: "auto" is the family's formula where the block says its family, our own solver where it does not.
METHODS = ("auto", "analytic", "structured", "cvxpy")


@dataclass(frozen=True)
class Search:
    """One way to find multipliers.

    Args:
        method: Out of `METHODS`.
        solver: Of "cvxpy", the name of the solver, the first that can be used unless given.
        options: Of the solver, by its own names.
        device: Where the structured solver computes.

    Raises:
        InputError: an unknown method, a solver that is not of this method, or an unknown option.
        UnsupportedError: the solver cannot be used here.
    """

    method: str = "auto"
    solver: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method {self.method!r}: expected one of {', '.join(METHODS)}")
        names = self._solvers()
        if self.solver is not None and self.solver not in names:
            known = ", ".join(names) or "none"
            raise InputError(
                f"solver {self.solver!r} with method {self.method!r}: expected one of: {known}"
            )
        if self.method == "analytic" and self.options:
            raise InputError(f"method 'analytic' has no option {next(iter(self.options))!r}")
        if self.method != "analytic":
            self._solver()

    def __call__(self, block: Equilibrium | ConvEquilibrium, lip: float | None) -> Multipliers:
        """Multipliers that are likely to prove the block, at the smallest L or at exactly `lip`.

        Raises:
            InconclusiveError: none were found.
            UnsupportedError: the block is too large for the solver.
            InputError: the block's origin is unknown or malformed.
        """
        if self.by_formula(block):
            return multipliers(block)
        solver = self._solver()
        largest = type(solver).capabilities.largest
        if block.n > largest:
            raise UnsupportedError(
                f"{solver.name} takes up to {largest} multipliers: got {block.n}"
            )
        problem = Problem.of(block, self.device if type(solver).capabilities.gpu else "cpu")
        start = _start(block, problem)
        begin = None if start is None else start.lam
        if lip is None:
            (found,) = solver.minimise(problem, begin)
        else:
            (found,) = solver.feasible(problem, lip, begin)
        return _multipliers(found, block.n, type(solver).method, start)

    def by_formula(self, block: Equilibrium | ConvEquilibrium) -> bool:
        """Whether multipliers are those of the block's family."""
        return self.method == "analytic" or (self.method == "auto" and block.origin is not None)

    def _solvers(self) -> list[str]:
        method = "structured" if self.method == "auto" else self.method
        return [name for name, solver in SOLVERS.items() if solver.method == method]

    def _solver(self):
        names = self._solvers()
        if self.solver is None:
            usable = [name for name in names if SOLVERS[name].missing() is None]
            return solver_named((usable or names)[0], **self.options)
        return solver_named(self.solver, **self.options)

    def monotone(self, block: Equilibrium | ConvEquilibrium) -> tuple[np.ndarray, str]:
        """Γ (n,) for (3), and who says so.

        Raises:
            InconclusiveError: none was found.
        """
        if self.by_formula(block):
            guess = multipliers(block)
            return guess.gam, guess.source
        problem = Problem.of(block, self.device)
        start = _start(block, problem)
        if start is not None:
            return start.gam, start.source
        solver = Structured(**({} if self.method == "cvxpy" else self.options))
        gam = solver.monotone(problem)
        if gam is None:
            raise InconclusiveError("structured found no Γ: there seems to be none")
        return gam, solver.name


def _start(block: Equilibrium | ConvEquilibrium, problem: Problem) -> Multipliers | None:
    """What the family says, if it says anything that can be used."""
    if block.origin is None:
        return None
    try:
        found = multipliers(block)
    except CertlipError:
        return None
    gam = torch.from_numpy(found.gam.copy()).to(problem.W.device)
    return None if lipschitz_start(problem, gam) is None else found


def _multipliers(found: Candidate, n: int, method: str, start: Multipliers | None) -> Multipliers:
    lam = found.lam
    if (
        lam is None
        or lam.shape != (n,)
        or not (np.isfinite(lam).all() and (lam > 0.0).all() and 0.0 < found.lip < np.inf)
    ):
        raise InconclusiveError(
            f"{found.solver} found no multipliers: {found.message or found.status}"
        )
    # what satisfies (4) satisfies (3) as well; the family's Γ has the larger margin as a rule
    gam = lam if start is None else start.gam
    family = found.solver if start is None else start.family
    return Multipliers(gam, lam, found.lip, family, method, found.solver)
