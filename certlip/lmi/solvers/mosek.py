"""MOSEK: an interior-point method that needs a licence."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from certlip.lmi.candidate import FAILED, INACCURATE, OPTIMAL
from certlip.lmi.solvers.base import Capabilities
from certlip.lmi.solvers.through_cvxpy import ThroughCvxpy, first_line

ACCURACIES = ("PFEAS", "DFEAS", "REL_GAP", "MU_RED")


class Mosek(ThroughCvxpy):
    """Options are MOSEK's parameters by their generic names, as MSK_IPAR_INTPNT_MAX_ITERATIONS."""

    name = "mosek"
    package = "mosek"
    extra = "certlip[mosek]"
    tol = 1e-8
    capabilities = Capabilities(gpu=False, starts=False, largest=500, licence=True)
    statuses: ClassVar[Mapping[str, str]] = {
        "optimal": OPTIMAL,
        "integer_optimal": OPTIMAL,
        "prim_and_dual_feas": INACCURATE,
        "prim_feas": INACCURATE,
        "dual_feas": INACCURATE,
        "unknown": INACCURATE,  # also where a limit was reached
        "prim_infeas_cer": FAILED,
        "dual_infeas_cer": FAILED,
        "prim_illposed_cer": FAILED,
        "dual_illposed_cer": FAILED,
    }

    @classmethod
    def missing(cls) -> str | None:
        return super().missing() or no_licence()

    @classmethod
    def own_options(cls) -> Mapping[str, type]:
        mosek = _mosek()
        kinds = (("D", mosek.dparam, float), ("I", mosek.iparam, object))
        return {
            f"MSK_{letter}PAR_{_word(member).upper()}": wanted
            for letter, parameters, wanted in kinds
            for member in parameters.members()
        }

    def try_option(self, name: str, value: Any) -> None:
        with _mosek().Task() as task:
            task.putparam(name, str(value))

    def settings(self, seconds: float) -> dict[str, Any]:
        chosen = {f"MSK_DPAR_INTPNT_CO_TOL_{what}": self.accuracy for what in ACCURACIES}
        if seconds < math.inf:
            chosen["MSK_DPAR_OPTIMIZER_MAX_TIME"] = seconds
        return {"mosek_params": {**chosen, **self.own}, "accept_unknown": True}

    def said(self, raw: Any) -> tuple[str, int]:
        mosek, task = _mosek(), raw["task"]
        word = _word(task.getsolsta(mosek.soltype.itr))
        return word, task.getintinf(mosek.iinfitem.intpnt_iter)


def no_licence() -> str | None:
    """Why MOSEK would refuse to solve, None if it would not: it is asked for the licence."""
    mosek = _mosek()
    try:
        with mosek.Env() as environment:
            environment.checkoutlicense(mosek.feature.pton)
    except mosek.Error as error:
        said = first_line(error).rstrip(": ")
        return (
            f"solver mosek: no MOSEK licence was found ({said}); put mosek.lic into ~/mosek "
            "or its path into MOSEKLM_LICENSE_FILE"
        )
    return None


def _mosek() -> Any:
    """The module, which few have."""
    return importlib.import_module("mosek")


def _word(member: Any) -> str:
    """solsta.optimal → optimal."""
    return str(member).rpartition(".")[2]
