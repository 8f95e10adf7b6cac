"""What the operator splittings share: a step α, a metric, and how many iterations they are given.

The inclusion 0 ∈ (I − W)z − c + N(z), σ = prox of N's function, may be scaled row by row: with the diagonal
Γ = diag(λ) of (3), Γ(I − W) is monotone in the ordinary inner product. The resolvent of αΓ(I − W), the
bias αΓc and prox_{αλ_i f_i} per coordinate are scaled together or not at all; never Ψ(I − W).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.errors import InputError
from certlip.linalg.operators import Operator
from certlip.solvers.iterative import IterativeSolver, State


class Splitting(IterativeSolver):
    """A solver with a step α > 0, chosen from W unless it is given.

    Args:
        alpha: The step.
        metric: λ per unit of W, (units,) > 0: a diagonal for which (3) holds, Ψ⁻¹ for an LBEN and Φ⁻¹ for a
            G-MonDEQ; None is the identity.

    Raises:
        InputError: α or λ is not positive and finite.
    """

    most_iterations: ClassVar[int]

    def __init__(
        self,
        W: Tensor | Operator,
        sigma: Sigma,
        *,
        alpha: float | None = None,
        metric: Tensor | None = None,
        tol: float | None = None,
        atol: float | None = None,
        max_iter: int | None = None,
        compact: bool = True,
    ) -> None:
        most = self.most_iterations if max_iter is None else max_iter
        super().__init__(W, sigma, tol=tol, atol=atol, max_iter=most, compact=compact)
        if metric is not None:
            usable = bool((metric > 0).all() and metric.isfinite().all())
            if metric.shape != (self.W.units,) or not usable:
                raise InputError(f"metric: expected {self.W.units} positive numbers, one per unit")
            # (3) holds for every multiple of Γ; the step suits one of the size of I
            metric = (metric / metric.max()).to(self.W.device, self.W.dtype)
        self.metric = metric
        alpha = self.default_step() if alpha is None else alpha
        if not 0.0 < alpha < float("inf"):
            raise InputError(f"step alpha = {alpha}: expected a positive finite number")
        self.alpha = float(alpha)
        #: λ and αλ: numbers, or per coordinate (n,)
        self.lam = 1.0 if metric is None else self.W.spread(metric)
        self.step = self.alpha if metric is None else self.alpha * self.W.spread(metric)
        self.prepare()

    def prepare(self) -> None:
        """What depends on W and the step alone is computed here, once."""

    @abstractmethod
    def default_step(self) -> float:
        """A step that suits W."""

    def monotone_part(self) -> Tensor:
        """The blocks of Γ(I − W), (F, units, units)."""
        A = self.W.blocks()
        difference = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device) - A
        return difference if self.metric is None else self.metric[:, None] * difference

    def relaxed(self, J: Tensor) -> Tensor:
        """J/(J + αλ(1 − J)): the resolvent of αλ(1/J − 1)."""
        return J / (J + self.step * (1.0 - J))

    def measured(self, state: State) -> tuple[Tensor, Tensor]:
        z = state["z"]
        return self.residual(z, state["c"]), z.norm(dim=-1)

    def point(self, state: State) -> Tensor:
        return state["z"]

    def adjoint_done(self, J: Tensor, g: Tensor, v: Tensor) -> bool:
        """Whether v solves the adjoint system to the tolerance in every row."""
        allowed = self.atol + self.tol * g.norm(dim=-1)
        return bool((self.adjoint_residual(J, g, v) <= allowed).all())
