"""Anderson acceleration of Peaceman–Rachford, per sample.

The splitting is a fixed-point iteration u ← T(u) that is nonexpansive in the metric of (3). Each row keeps
its last differences ΔF, ΔU of F = T(u) − u and of T(u), and steps to T(u) − ΔUγ with γ = argmin‖F − ΔFγ‖.
A row whose residual grows beyond what it was forgets its history and takes the plain step, so that a bad
extrapolation costs one iteration. What comes out is judged by its residual, like that of any solver.
Source: Walker & Ni, SIAM J. Numer. Anal. 49 (2011).
"""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.errors import InputError
from certlip.linalg.operators import Operator
from certlip.solvers.iterative import IterativeSolver, State
from certlip.solvers.peaceman_rachford import PeacemanRachford

RIDGE = 1e-12  # relative regularization of the small least-squares problems
GROWTH = 2.0  # a residual that grew by more than this starts the history anew


class Anderson(IterativeSolver):
    """Peaceman–Rachford with `memory` differences of history per sample.

    Raises:
        InputError: memory below 1.
    """

    name = "anderson"

    def __init__(
        self,
        W: Tensor | Operator,
        sigma: Sigma,
        *,
        alpha: float | None = None,
        metric: Tensor | None = None,
        memory: int = 5,
        tol: float | None = None,
        atol: float | None = None,
        max_iter: int = 1000,
        compact: bool = True,
    ) -> None:
        super().__init__(W, sigma, tol=tol, atol=atol, max_iter=max_iter, compact=compact)
        if memory < 1:
            raise InputError(f"Anderson memory = {memory}: expected at least 1")
        self.memory = memory
        self.plain = PeacemanRachford(W, sigma, alpha=alpha, metric=metric, tol=tol, atol=atol)

    def begin(self, z: Tensor | None, c: Tensor) -> State:
        z = torch.zeros_like(c) if z is None else z
        residual = self.residual(z, c)
        return {**self.plain.begin(z, c), "residual": residual, "size": z.norm(dim=-1)}

    def advance(self, state: State) -> State:
        pr, u, c = self.plain, state["u"], state["c"]
        new = pr.transport(state["z"], u, state["drive"])
        f = new - u
        history = self._history(state, new, f)
        u = new
        if history:
            u = new - _correction(history["dU"], history["dF"], f)
        z = self.sigma.prox(u, pr.step)
        residual = self.residual(z, c)
        bad = ~(residual <= GROWTH * state["residual"])
        if bool(bad.any()):  # the plain step for these rows, and no history
            u = torch.where(bad[:, None], new, u)
            z = self.sigma.prox(u, pr.step)
            residual = self.residual(z, c)
            keep = (~bad)[:, None, None]
            history = {key: torch.where(keep, change, 0.0) for key, change in history.items()}
        now = {"z": z, "u": u, "residual": residual, "size": z.norm(dim=-1), "new": new, "f": f}
        return {**state, **history, **now}

    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        return state["residual"], state["size"]

    def point(self, state: State) -> Tensor:
        return state["z"]

    def adjoint(self, J: Tensor, g: Tensor) -> Tensor:
        return self.plain.adjoint(J, g)

    def _history(self, state: State, new: Tensor, f: Tensor) -> State:
        """The last differences (rows, n, ≤ memory), with those of the last step."""
        if "new" not in state:
            return {}
        changes = {"dU": new - state["new"], "dF": f - state["f"]}
        return {
            key: torch.cat([*([state[key]] if key in state else []), change[..., None]], dim=-1)[
                ..., -self.memory :
            ]
            for key, change in changes.items()
        }


def _correction(dU: Tensor, dF: Tensor, f: Tensor) -> Tensor:
    """ΔUγ per row, γ the least-squares solution of ΔFγ = f by regularized normal equations."""
    gram = dF.mT @ dF
    size = gram.diagonal(dim1=-2, dim2=-1).amax(dim=-1).clamp_min(torch.finfo(f.dtype).tiny)
    m = gram.shape[-1]
    ridge = (RIDGE if f.dtype == torch.float64 else 1e-6) * size[:, None, None]
    eye = torch.eye(m, dtype=f.dtype, device=f.device)
    gamma = torch.linalg.solve_ex(gram + ridge * eye, dF.mT @ f[..., None])[0]
    gamma = torch.where(torch.isfinite(gamma), gamma, 0.0)
    return (dU @ gamma)[..., 0]
