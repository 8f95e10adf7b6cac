"""What a solver answers: multipliers and an L that they may prove. A guess, whatever its status."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OPTIMAL, INACCURATE, STOPPED, FAILED = "optimal", "inaccurate", "stopped", "failed"
STATUSES = (OPTIMAL, INACCURATE, STOPPED, FAILED)


@dataclass(frozen=True)
class Candidate:
    """Λ (n,) for (10) with L = `lip`; `lam` is None where the solver found nothing.

    `gap` is the relative gap L/L* − 1 that the solver believes to have left (None: it does not say), and
    `status` one of `STATUSES`: solved, solved to a lower accuracy than asked, stopped by a limit of time
    or iterations, failed (also: found to be infeasible). Neither is evidence; `rules` prove.
    """

    lam: np.ndarray | None
    lip: float
    status: str
    solver: str
    iterations: int
    seconds: float
    gap: float | None = None
    message: str = ""
