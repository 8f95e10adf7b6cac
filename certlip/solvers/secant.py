"""A secant step between two sweeps, per row: Anderson's method with a memory of one.

A sweep and its correction are a map s ↦ T(s) with the equilibrium as its fixed point. With f = T(s) − s
and the changes Δf and ΔT since the sweep before, the next one starts at T(s) − γΔT, γ = ⟨Δf, f⟩/‖Δf‖²:
exact for an error in one direction. What leaves a solver is judged by its residual, so that a bad step
costs time alone. Source: Walker & Ni, SIAM J. Numer. Anal. 49 (2011); `anderson` for splittings.
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.solvers.sweeps import State, Sweep

LARGEST = 3.0  # |γ|: a larger one extrapolates from noise


def secant_step(sweep: Sweep, state: State, T: Tensor, f: Tensor) -> State:
    """The state with the point of the next sweep as "next", for T(s) and f in the layout of `read`.

    Large arrays are used again: what the step before left becomes the next point and "spare".
    """
    if "f" not in state:
        return {**state, "T": T, "f": f, "next": T.clone()}
    df, dT = (torch.sub(new, old, out=old) for new, old in ((f, state["f"]), (T, state["T"])))
    gamma = (sweep.dot(df, f) / sweep.dot(df, df)).nan_to_num(0.0)
    step = dT.mul_(sweep.along(gamma.clamp(-LARGEST, LARGEST)))
    return {**state, "T": T, "f": f, "next": torch.sub(T, step, out=step), "spare": df}
