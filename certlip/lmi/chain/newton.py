"""Newton directions of the barrier at one point, for every weight t of the objective at once.

d(t) = t·d₁ + d₂ with H d₁ = −∂ρ and H d₂ = −∇(−log det S), by preconditioned conjugate gradients on Λ̃
and elimination of ρ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.lmi.chain.recursion import Inverse, Marginals, dual_bound, gradient
from certlip.lmi.chain.windows import Windows

#: Products with the Hessian at most.
STEPS = 200


@dataclass(frozen=True)
class Directions:
    """d₁ and d₂ as rows of `lam` (2, n) and `rho` (2,), and what they do.

    ‖d(t)‖²_H = at² + 2bt + c. Where it is ≤ 1, P + dP(d(t)) is positive semidefinite, a candidate for
    the dual.
    """

    lam: Tensor
    rho: Tensor
    a: float
    b: float
    c: float
    P: Marginals
    dP: Marginals
    steps: int

    @classmethod
    def at(cls, point: Inverse, tolerance: float) -> Directions:
        """At a feasible point, to a relative tolerance in the norm of the Hessian."""
        P = point.marginals()
        g, g_rho = gradient(P)
        layers = point.chain.widths

        def hessian(lam: Tensor, rho: Tensor) -> tuple[Tensor, Tensor, Marginals]:
            derivative = point.derivative(list(lam.split(layers, -1)), rho)
            return *gradient(derivative), derivative

        none = g.new_zeros(1)
        border, corner, _ = hessian(torch.zeros_like(g)[None], none + 1.0)
        rhs = torch.stack([border[0], g])
        solved, steps = _conjugate_gradients(
            lambda v: hessian(v, none.expand(len(v)))[0], rhs, Windows(point), tolerance
        )
        u, v = solved
        schur = corner[0] - border[0] @ u
        if not float(schur) > 0.0:
            schur = corner[0]
        rho = torch.stack([-1.0 / schur, -(g_rho - border[0] @ v) / schur])
        lam = torch.stack([-u * rho[0], -v - u * rho[1]])
        H_lam, H_rho, dP = hessian(lam, rho)
        forms = lam @ H_lam.mT + rho[:, None] * H_rho
        a, b, c = (float(x) for x in (forms[0, 0], 0.5 * (forms[0, 1] + forms[1, 0]), forms[1, 1]))
        return cls(lam, rho, a, b, c, P, dP, steps)

    def direction(self, t: float) -> tuple[Tensor, float]:
        return t * self.lam[0] + self.lam[1], t * float(self.rho[0]) + float(self.rho[1])

    @property
    def best_t(self) -> float:
        """The weight for which the point is nearest to the central path."""
        return -self.b / self.a

    @property
    def off_centre(self) -> float:
        """The smallest ‖d(t)‖²_H."""
        return max(self.c - self.b * self.b / self.a, 0.0)

    def weight(self, size: float) -> float:
        """The larger t with ‖d(t)‖²_H = size; the nearest to it if there is none."""
        return self.best_t + math.sqrt(max(size - self.off_centre, 0.0) / self.a)

    def lower_bound(self, count: int = 12) -> float:
        """The best dual bound of ρ over the t with ‖d(t)‖_H ≤ 1; 0 if there are none."""
        if not self.off_centre < 1.0:
            return 0.0
        high, low = self.weight(1.0), max(2.0 * self.best_t - self.weight(1.0), 0.0)
        t = torch.linspace(low, high, count, dtype=self.rho.dtype, device=self.rho.device)

        def at(P: Tensor, dP: Tensor) -> Tensor:
            return P + t.reshape(-1, *[1] * (dP.ndim - 1)) * dP[0] + dP[1]

        own, cross = (
            [at(p, d) for p, d in zip(getattr(self.P, k), getattr(self.dP, k), strict=True)]
            for k in ("own", "cross")
        )
        Z = Marginals(
            own, cross, at(self.P.input, self.dP.input), at(self.P.output, self.dP.output)
        )
        return float(dual_bound(Z).max())


def _conjugate_gradients(
    H: Callable[[Tensor], Tensor],
    rhs: Tensor,
    preconditioner: Callable[[Tensor], Tensor],
    tolerance: float,
) -> tuple[Tensor, int]:
    """Solutions of H x = rhs for each row, and the number of products with H."""
    x, r = torch.zeros_like(rhs), rhs.clone()
    z = preconditioner(r)
    p, rz = z, (r * z).sum(-1)
    goal = tolerance**2 * rz
    for step in range(STEPS):
        if bool((rz <= goal).all()):
            return x, step
        Hp = H(p)
        alive = (rz > goal) & ((p * Hp).sum(-1) > 0.0)
        if not bool(alive.any()):
            return x, step
        alpha = torch.where(alive, rz / (p * Hp).sum(-1), torch.zeros_like(rz))[:, None]
        x, r = x + alpha * p, r - alpha * Hp
        z = preconditioner(r)
        new = (r * z).sum(-1)
        p, rz = z + torch.where(alive, new / rz, torch.zeros_like(rz))[:, None] * p, new
    return x, STEPS
