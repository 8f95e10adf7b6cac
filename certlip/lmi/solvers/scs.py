"""SCS: a first-order method, less accurate, for blocks that are large for interior-point methods."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from certlip.lmi.candidate import FAILED, INACCURATE, OPTIMAL, STOPPED
from certlip.lmi.solvers.base import Capabilities
from certlip.lmi.solvers.through_cvxpy import ThroughCvxpy

#: SCS has no list of its settings to read; which of these its release has it says itself.
SETTINGS = {
    "normalize": bool,
    "scale": float,
    "adaptive_scale": bool,
    "rho_x": float,
    "max_iters": int,
    "eps_abs": float,
    "eps_rel": float,
    "eps_infeas": float,
    "alpha": float,
    "time_limit_secs": float,
    "acceleration_lookback": int,
    "acceleration_interval": int,
    "linear_solver": str,
}
INTERRUPTED = -5


class Scs(ThroughCvxpy):
    """O'Donoghue, Chu, Parikh & Boyd, J. Optim. Theory Appl. 169 (2016)."""

    name = "scs"
    package = "scs"
    tol = 1e-6
    capabilities = Capabilities(gpu=False, starts=False, largest=500)
    statuses: ClassVar[Mapping[str, str]] = {
        "solved": OPTIMAL,
        "solved, inaccurate": INACCURATE,
        "reached a limit": STOPPED,
        "infeasible": FAILED,
        "infeasible, inaccurate": FAILED,
        "unbounded": FAILED,
        "unbounded, inaccurate": FAILED,
        "indeterminate": FAILED,
        "failed": FAILED,
    }

    @classmethod
    def own_options(cls) -> Mapping[str, type]:
        return SETTINGS

    def try_option(self, name: str, value: Any) -> None:
        import scipy.sparse
        import scs

        data = {"A": scipy.sparse.csc_matrix(-np.eye(1)), "b": np.zeros(1), "c": np.ones(1)}
        scs.SCS(data, {"l": 1}, verbose=False, **{name: value})

    def settings(self, seconds: float) -> dict[str, Any]:
        limit = {} if seconds == math.inf else {"time_limit_secs": seconds}
        return {"eps_abs": self.accuracy, "eps_rel": self.accuracy, **limit, **self.own}

    def said(self, raw: Any) -> tuple[str, int]:
        """The word for SCS's number; a limit of time or iterations is only in its text.

        Raises:
            KeyboardInterrupt: SCS took the signal, and stopped.
        """
        import scs

        info = raw["info"]
        if info["status_val"] == INTERRUPTED:
            raise KeyboardInterrupt
        words = {
            scs.SOLVED: "solved",
            scs.SOLVED_INACCURATE: "solved, inaccurate",
            scs.INFEASIBLE: "infeasible",
            scs.INFEASIBLE_INACCURATE: "infeasible, inaccurate",
            scs.UNBOUNDED: "unbounded",
            scs.UNBOUNDED_INACCURATE: "unbounded, inaccurate",
            scs.INDETERMINATE: "indeterminate",
        }
        word = words.get(info["status_val"], "failed")
        if word == "solved, inaccurate" and "reached" in info["status"]:
            word = "reached a limit"
        return word, info["iter"]
