"""Solvers of other people, through cvxpy: what they have in common is written here once."""

from __future__ import annotations

import importlib
import math
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from certlip.errors import InputError
from certlip.lmi.candidate import FAILED, STOPPED, Candidate
from certlip.lmi.problem import Problem
from certlip.lmi.solvers.base import MultiplierSolver
from certlip.lmi.solvers.programs import Program, deepest, smallest
from certlip.lmi.solvers.scaled import Scaled


@dataclass(frozen=True)
class Answer:
    """What one call of a solver left: its variables, and what it says about them."""

    status: str  # one of `candidate.STATUSES`
    message: str = ""
    iterations: int = 0
    mu: np.ndarray | None = None
    value: float = math.nan
    bound: float | None = None  # of the smallest value, from the dual problem


#: What Λ and L an answer stands for, and the gap that it leaves.
Reading = Callable[[Scaled, Answer, np.ndarray], tuple[np.ndarray, float, float | None]]


class ThroughCvxpy(MultiplierSolver):
    """A solver of semidefinite programs that cvxpy knows.

    Options are `tol`, the accuracy asked for in the units of `Scaled`; `max_seconds` for all output maps
    together; and those of the solver itself. A start gives no more than the units to measure in.
    """

    method = "cvxpy"
    package: ClassVar[str]  # the module to import, beside cvxpy
    extra: ClassVar[str] = "certlip[sdp]"  # what to install
    tol: ClassVar[float]  # where the option does not say it
    statuses: ClassVar[Mapping[str, str]]  # the solver's words, in ours

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.own = dict(options)
        self.accuracy = float(self.own.pop("tol", self.tol))
        self.max_seconds = float(self.own.pop("max_seconds", math.inf))
        if not 0.0 < self.accuracy < 1.0:
            raise InputError(f"{self.name} option tol = {self.accuracy!r}: expected one in (0, 1)")
        if not self.max_seconds > 0.0:
            raise InputError(f"{self.name} option max_seconds = {self.max_seconds!r}: expected > 0")
        for name, value in self.own.items():
            try:
                self.try_option(name, value)
            except Exception as error:
                raise InputError(
                    f"{self.name} option {name} = {value!r}: {first_line(error)}"
                ) from None

    @classmethod
    def known(cls) -> Mapping[str, type]:
        return {"tol": float, "max_seconds": float, **cls.own_options()}

    @classmethod
    @abstractmethod
    def own_options(cls) -> Mapping[str, type]:
        """The solver's own options and their types."""

    @abstractmethod
    def try_option(self, name: str, value: Any) -> None:
        """Hands one of them to the solver, which raises what it likes where it cannot use it."""

    @abstractmethod
    def settings(self, seconds: float) -> dict[str, Any]:
        """What cvxpy hands to the solver, for `accuracy`, this time and the options in `own`."""

    @abstractmethod
    def said(self, raw: Any) -> tuple[str, int]:
        """The solver's word for its raw result, a key of `statuses`, and its iterations."""

    @classmethod
    def missing(cls) -> str | None:
        for package in ("cvxpy", cls.package):
            try:
                importlib.import_module(package)
            except ImportError as error:
                why = "is not installed"
                if not isinstance(error, ModuleNotFoundError):
                    why = f"cannot be imported ({first_line(error)})"
                return f'solver {cls.name}: {package} {why}; pip install "{cls.extra}"'
        return None

    def minimise(self, problem: Problem, start: np.ndarray | None = None) -> list[Candidate]:
        def reading(of: Scaled, answer: Answer, mu: np.ndarray):
            lip, gap = math.sqrt(of.rho * max(answer.value, 0.0)), None
            if answer.bound is not None and answer.bound > 0.0:
                gap = abs(lip / math.sqrt(of.rho * answer.bound) - 1.0)  # either may be infeasible
            return of.lam * mu / lip, lip, gap

        return self._each(problem, start, lambda of: smallest(of, self.accuracy), reading)

    def feasible(
        self, problem: Problem, lip: float, start: np.ndarray | None = None
    ) -> list[Candidate]:
        if not 0.0 < lip < math.inf:
            raise InputError(f"L = {lip}: a Lipschitz bound is positive and finite")

        def program(of: Scaled) -> Program:
            return deepest(of, lip / math.sqrt(of.rho), self.accuracy)

        def reading(of: Scaled, answer: Answer, mu: np.ndarray):
            if answer.value < -self.accuracy:
                raise ArithmeticError(f"no multipliers for L = {lip!r}: {answer.value:.2g} outside")
            return of.lam * mu / math.sqrt(of.rho), lip, None

        return self._each(problem, start, program, reading)

    def _each(
        self,
        problem: Problem,
        start: np.ndarray | None,
        program: Callable[[Scaled], Program],
        reading: Reading,
    ) -> list[Candidate]:
        """One candidate for each output map."""
        end, found = time.monotonic() + self.max_seconds, []
        for b in range(problem.count):
            began, of = time.perf_counter(), Scaled.of(problem, b, start)
            if of.finite():
                answer = self.answer(program(of), end)
            else:
                answer = Answer(FAILED, "the numbers of the block overflow")
            found.append(self._candidate(of, answer, reading, time.perf_counter() - began))
        return found

    def answer(self, program: Program, end: float) -> Answer:
        """What the solver makes of a program until `end`; its exceptions are answers as well."""
        name, problem = self.name.upper(), program.problem
        try:
            options = self.settings(math.inf)
            data, chain, inverse = problem.get_problem_data(name, solver_opts=options)
            left = end - time.monotonic()
            if left <= 0.0:
                return Answer(STOPPED, f"no time left of {self.max_seconds:g} s")
            raw = chain.solve_via_data(problem, data, solver_opts=self.settings(left))
            word, iterations = self.said(raw)
            answer = Answer(self.statuses.get(word, FAILED), word, iterations)
            if answer.status == FAILED:
                return answer
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # cvxpy warns of the status that was just read
                problem.unpack_results(raw, chain, inverse)
        except BaseException as error:
            # a panic inside a compiled solver is no Exception, and leaves the process intact
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            return Answer(FAILED, first_line(error))
        mu, value = program.mu.value, program.value.value
        if mu is None or value is None:
            return answer
        bound = program.bound() if program.bound else None
        return Answer(answer.status, word, iterations, mu, float(value), bound)

    def _candidate(self, of: Scaled, answer: Answer, reading: Reading, seconds: float) -> Candidate:
        """Takes Λ from an answer only if it could be one: finite, positive, of the right shape."""

        def candidate(status: str, message: str, lam=None, lip=math.inf, gap=None) -> Candidate:
            about = (status, self.name, answer.iterations, seconds)
            return Candidate(lam, lip, *about, gap=gap, message=message)

        if answer.status == FAILED or answer.mu is None:
            return candidate(answer.status, answer.message)
        mu = np.asarray(answer.mu, dtype=np.float64)
        if mu.shape != (of.n,) or not math.isfinite(answer.value):
            what = f"multipliers of shape {mu.shape} and the value {answer.value}"
            return candidate(FAILED, f"{answer.message}, but {what}")
        try:
            with np.errstate(all="ignore"):
                lam, lip, gap = reading(of, answer, mu)
        except ArithmeticError as error:
            return candidate(FAILED, str(error))
        if not (np.isfinite(lam).all() and (lam > 0.0).all()):  # also where L is 0, ∞ or NaN
            return candidate(FAILED, f"{answer.message}, but Λ is not positive and finite")
        return candidate(answer.status, answer.message, lam, lip, gap)


def first_line(error: BaseException) -> str:
    """The first line of an exception."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
