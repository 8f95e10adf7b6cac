"""Clarabel: an interior-point method, accurate, and slow from some hundred rows on."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from certlip.lmi.candidate import FAILED, INACCURATE, OPTIMAL, STOPPED
from certlip.lmi.solvers.base import Capabilities
from certlip.lmi.solvers.through_cvxpy import ThroughCvxpy


class Clarabel(ThroughCvxpy):
    """Goulart & Chen, arXiv:2405.12762. Its matrices have a row for each entry of the LMI."""

    name = "clarabel"
    package = "clarabel"
    tol = 1e-8
    capabilities = Capabilities(gpu=False, starts=False, largest=100)
    statuses: ClassVar[Mapping[str, str]] = {
        "Solved": OPTIMAL,
        "AlmostSolved": INACCURATE,
        "InsufficientProgress": INACCURATE,
        "MaxIterations": STOPPED,
        "MaxTime": STOPPED,
        "CallbackTerminated": STOPPED,
        "PrimalInfeasible": FAILED,
        "AlmostPrimalInfeasible": FAILED,
        "DualInfeasible": FAILED,
        "AlmostDualInfeasible": FAILED,
        "NumericalError": FAILED,
        "Unsolved": FAILED,
    }

    @classmethod
    def own_options(cls) -> Mapping[str, type]:
        default = _clarabel().DefaultSettings()
        names = (name for name in dir(default) if name[0] != "_" and "verbose" not in name)
        values = {name: getattr(default, name) for name in names}  # standard output is ours
        return {name: type(value) for name, value in values.items() if not callable(value)}

    def try_option(self, name: str, value: Any) -> None:
        import scipy.sparse

        clarabel = _clarabel()
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        setattr(settings, name, value)
        P, A = scipy.sparse.csc_matrix((1, 1)), scipy.sparse.csc_matrix(-np.eye(1))
        cones = [clarabel.NonnegativeConeT(1)]
        clarabel.DefaultSolver(P, np.ones(1), A, np.zeros(1), cones, settings)

    def settings(self, seconds: float) -> dict[str, Any]:
        tolerances = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), self.accuracy)
        return {**tolerances, "time_limit": seconds, **self.own, **_take_all()}

    def said(self, raw: Any) -> tuple[str, int]:
        return str(raw.status), raw.iterations


def _clarabel() -> Any:
    """The module, whose contents no type checker sees."""
    return importlib.import_module("clarabel")


def _take_all() -> dict[str, bool]:
    """The option of newer releases of cvxpy that keeps points that made insufficient progress."""
    from cvxpy.reductions.solvers.conic_solvers import clarabel_conif

    name = getattr(clarabel_conif.CLARABEL, "ACCEPT_UNKNOWN", None)
    return {} if name is None else {name: True}
