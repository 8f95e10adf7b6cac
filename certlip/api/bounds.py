"""Proven Lipschitz bounds of a model, and the conditions of its blocks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from certlip.api.models import Model, model_entry, network_of, path_of
from certlip.api.result import Result
from certlip.blocks import Network
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import UpperBound
from certlip.lmi.check import check, exit_code
from certlip.lmi.ladder import Budget, Ladder, climb
from certlip.lmi.ladder.document import ladder_fields
from certlip.lmi.ladder.memory import available
from certlip.lmi.search import Search


class LipschitzResult(Result):
    """`ladder` has the bounds as numbers that are known to be proven."""

    def __init__(self, document: dict[str, Any], ladder: Ladder) -> None:
        super().__init__(document)
        self.ladder = ladder

    @property
    def lipschitz_upper(self) -> float | None:
        """The smallest proven ℓ2 bound from raw inputs to logits; None if there is none."""
        return None if self.ladder.lip is None else self.ladder.lip.value

    def __repr__(self) -> str:
        return f"LipschitzResult(lipschitz_upper={self.lipschitz_upper})"


class CheckResult(Result):
    """`rows` says of every block and condition what was proven, refuted or left undecided."""

    def __init__(self, document: dict[str, Any], bound: UpperBound | None) -> None:
        super().__init__(document)
        self.bound = bound

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.document["blocks"]

    @property
    def lipschitz_upper(self) -> float | None:
        """The proven bound of the network; None unless every block has one."""
        return None if self.bound is None else self.bound.value

    @property
    def holds(self) -> bool:
        """Whether every condition was proven."""
        return self.exit_code == 0

    def __repr__(self) -> str:
        return f"CheckResult(holds={self.holds}, lipschitz_upper={self.lipschitz_upper})"


def lipschitz(
    model: Model,
    *,
    tol: float = 1e-6,
    max_seconds: float | None = None,
    memory: float | None = None,
    pairs: bool = True,
    device: str = "cpu",
) -> LipschitzResult:
    """The smallest Lipschitz bounds that can be proven, by block, for the network and per pair of classes.

    Args:
        model: A network, a torch module, or the path of a model.
        tol: Relative gap at which solvers stop.
        max_seconds: No better bounds are looked for after this time.
        memory: Bytes that may be used; what is free unless given.
        pairs: Whether the difference of every two logits is bounded too.
        device: Where solvers compute; proofs are checked in float64 either way.
    """
    network = network_of(model)
    deadline = None if max_seconds is None else time.monotonic() + max_seconds
    room = available(device) if memory is None else memory
    budget = Budget(deadline=deadline, memory=room, tol=tol, device=device)
    ladder = climb(network, budget, pairs=pairs)
    settings = {"device": device, "dtype": "float64", "tol": tol, "max_seconds": max_seconds}
    return LipschitzResult(
        lipschitz_document(model_entry(path_of(model), network), settings, network, ladder), ladder
    )


def lipschitz_document(
    entry: dict[str, Any], settings: dict[str, Any], network: Network, ladder: Ladder
) -> dict[str, Any]:
    """The document `certlip/lipschitz/1`."""
    return {
        "schema": "certlip/lipschitz/1",
        "model": entry,
        "settings": settings,
        **ladder_fields(network, ladder),
        "status": "done",
        "exit_code": 0 if ladder.lip is not None else InconclusiveError.exit_code,
    }


def check_lmi(
    model: Model,
    conditions: Sequence[str] = ("3", "10"),
    *,
    lipschitz: float | None = None,
    method: str = "auto",
    solver: str | None = None,
    device: str = "cpu",
) -> CheckResult:
    """Conditions (3), (4), (10) of every equilibrium block, proven on the stored numbers.

    Args:
        model: A network, a torch module, or the path of a model.
        conditions: Out of "3", "4", "10".
        lipschitz: Exactly this L for the equilibrium blocks.
        method: How multipliers are found: auto, analytic, structured, cvxpy.
        solver: Of method cvxpy: clarabel, scs, mosek.
        device: Where the structured solver computes.

    Raises:
        InputError: an unknown condition, method or solver, or L ≤ 0.
        UnsupportedError: the solver cannot be used here.
    """
    network, search = network_of(model), Search(method, solver, device=device)
    rows, bound = check(network, conditions, lip=lipschitz, searches=[search])
    settings = {
        "device": device,
        "dtype": "float64",
        "conditions": list(conditions),
        "methods": [method],
    }
    return CheckResult(
        check_document(model_entry(path_of(model), network), settings, rows, bound), bound
    )


def check_document(
    entry: dict[str, Any],
    settings: dict[str, Any],
    rows: list[dict[str, Any]],
    bound: UpperBound | None,
) -> dict[str, Any]:
    """The document `certlip/check-lmi/1`."""
    return {
        "schema": "certlip/check-lmi/1",
        "model": entry,
        "settings": settings,
        "blocks": rows,
        "lipschitz_upper": None if bound is None else str(bound),
        "status": "done",
        "exit_code": exit_code(rows),
    }
