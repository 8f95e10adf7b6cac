"""What a solver of multipliers is: a problem in, candidates out."""

from __future__ import annotations

import difflib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from certlip.errors import InputError
from certlip.lmi.candidate import Candidate
from certlip.lmi.problem import Problem


@dataclass(frozen=True)
class Capabilities:
    """What a solver can be given, as data."""

    gpu: bool  # runs where the problem's tensors are
    starts: bool  # makes use of multipliers to start from
    largest: int  # order of one block above which it is not worth trying (or memory runs out)
    licence: bool = False  # needs one


class MultiplierSolver(ABC):
    """Finds multipliers for (10); what it answers is proven elsewhere.

    Options are the solver's own, passed through by name.

    Raises:
        UnsupportedError: the solver is not installed or has no licence; the message says what to do.
        InputError: an unknown option, or one of the wrong type.
    """

    name: ClassVar[str]
    method: ClassVar[str]  # the way to Λ it belongs to: "structured" or "cvxpy"
    capabilities: ClassVar[Capabilities]
    options_known: ClassVar[Mapping[str, type]] = {}

    def __init__(self, **options: Any) -> None:
        known = self.known()
        for name, value in options.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else _some(known)
                raise InputError(f"{self.name} has no option {name!r}: {hint}")
            wanted = known[name]
            fits = isinstance(value, (int, float) if wanted is float else wanted)
            if not fits or (isinstance(value, bool) and wanted in (int, float)):
                raise InputError(
                    f"{self.name} option {name} = {value!r}: expected {wanted.__name__}"
                )
        self.options = options

    @classmethod
    def known(cls) -> Mapping[str, type]:
        """The options and their types; may ask the solver, which is installed where this is called."""
        return cls.options_known

    @classmethod
    def missing(cls) -> str | None:
        """Why this solver cannot be used here, with what to do about it; None if it can."""
        return None

    @abstractmethod
    def minimise(self, problem: Problem, start: np.ndarray | None = None) -> list[Candidate]:
        """The smallest L for each output map.

        Args:
            problem: What to solve.
            start: Λ (n,) or Γ (n,) to start from, up to a factor; positive.
        """

    @abstractmethod
    def feasible(
        self, problem: Problem, lip: float, start: np.ndarray | None = None
    ) -> list[Candidate]:
        """Multipliers for exactly this L, as far inside as can be had cheaply."""


def _some(names: Iterable[str]) -> str:
    """The first names of a list that may have hundreds."""
    first = list(itertools.islice(names, 13))
    return ", ".join(first[:12]) + (", …" if len(first) > 12 else "")
