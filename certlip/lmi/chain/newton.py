"""Newton directions of the pair (Λ̃, ρ) and Z towards every point of the central path at once.

SZ = μI linearised, symmetrised, and tr(∂S/∂x_i Z) = c_i, the objective, for the coordinates x of (Λ̃, ρ)
(Helmberg, Rendl, Vanderbei & Wolkowicz 1996; Kojima et al. 1997; Monteiro 1997):

    dZ = μP − Z − ½(P S(d) Z + Z S(d) P),     M d = μ tr(∂S/∂x_i P) − c,     d = μ·towards + along

by preconditioned conjugate gradients on Λ̃ and elimination of ρ. Z lives on the tridiagonal blocks: what
else enters M is its completion (Fukuda, Kojima, Murota & Nakata 2001).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.lmi.chain.marginals import Marginals, traces
from certlip.lmi.chain.products import Products
from certlip.lmi.chain.recursion import Completed, Pattern
from certlip.lmi.chain.scaled import ScaledChain
from certlip.lmi.chain.windows import Windows

#: Products with the matrix at most, and those after which single precision is given up.
STEPS, FEW = 200, 30


@dataclass(frozen=True)
class Step:
    """dΛ̃ (n,), dρ and dZ."""

    lam: Tensor
    rho: float
    Z: Pattern


@dataclass(frozen=True)
class Directions:
    """Rows `towards` the centre and `along` the path, of `lam` (2, n), `rho` (2,) and P S(d) Z."""

    lam: Tensor
    rho: Tensor
    P: Pattern
    Z: Pattern
    changes: Pattern
    steps: int

    @classmethod
    def at(
        cls, chain: ScaledChain, P: Completed, Z: Completed, tolerance: float, most: int = STEPS
    ) -> Directions:
        """To a relative tolerance in the norm of M, or after `most` products with it."""
        layers = chain.widths
        product = Products(chain, P, Z)

        def change(lam: Tensor, rho: Tensor) -> Pattern:
            return product(list(lam.split(layers, -1)), rho)

        def matrix(lam: Tensor, rho: Tensor) -> tuple[Tensor, Tensor]:
            return traces(Marginals.of(chain, change(lam, rho)))

        centre, centre_rho = traces(Marginals.of(chain, P.blocks))
        none = centre.new_zeros(1)
        border, corner = (part[0] for part in matrix(torch.zeros_like(centre)[None], none + 1.0))
        rhs = torch.stack([border, centre])
        (u, v), steps = _conjugate_gradients(
            lambda d: matrix(d, none.expand(len(d)))[0],
            rhs,
            Windows(chain, P, Z),
            tolerance,
            most,
        )
        schur = corner - border @ u
        if not float(schur) > 0.0:
            schur = corner
        rho = torch.stack([(centre_rho - border @ v) / schur, -1.0 / schur])
        lam = torch.stack([v - rho[0] * u, -rho[1] * u])
        return cls(lam, rho, P.blocks, Z.blocks, change(lam, rho), steps)

    @classmethod
    def in_single(
        cls, chain: ScaledChain, P: Completed, Z: Completed, tolerance: float
    ) -> Directions | None:
        """The same in single precision, at half the cost; None where that is not enough."""
        single = torch.float32
        half = cls.at(chain.to(single), P.to(single), Z.to(single), tolerance, FEW)
        if half.steps == FEW or not bool(half.lam.isfinite().all() & half.rho.isfinite().all()):
            return None
        lam, rho, changes = half.lam.double(), half.rho.double(), half.changes.to(torch.float64)
        return cls(lam, rho, P.blocks, Z.blocks, changes, half.steps)

    def step(self, mu: float) -> Step:
        """Towards the point of the central path at μ."""
        dZ = self.P.times(mu).plus(-1.0, self.Z)
        dZ = dZ.plus(-mu, self.changes[0]).plus(-1.0, self.changes[1])
        return Step(mu * self.lam[0] + self.lam[1], float(mu * self.rho[0] + self.rho[1]), dZ)


def _conjugate_gradients(
    M: Callable[[Tensor], Tensor],
    rhs: Tensor,
    preconditioner: Callable[[Tensor], Tensor],
    tolerance: float,
    most: int,
) -> tuple[Tensor, int]:
    """Solutions of M x = rhs for each row, and the number of products with M, `most` at most.

    All rows are solved for in the space that all of them span (O'Leary, Linear Algebra Appl. 29, 1980).
    """
    x, r = torch.zeros_like(rhs), rhs.clone()
    z = preconditioner(r)
    goal = tolerance**2 * (r * z).sum(-1)
    p = z
    for step in range(most):
        if bool(((r * z).sum(-1) <= goal).all()):
            return x, step
        p = _orthonormal(p)
        Mp = M(p)
        gram = p @ Mp.mT
        root, info = torch.linalg.cholesky_ex((gram + gram.mT) / 2.0)
        if int(info) != 0 or not len(p):
            return x, step
        x = x + torch.cholesky_solve(p @ r.mT, root).mT @ p
        r = r - torch.cholesky_solve(p @ r.mT, root).mT @ Mp
        z = preconditioner(r)
        p = z - torch.cholesky_solve(Mp @ z.mT, root).mT @ p
    return x, most


def _orthonormal(p: Tensor) -> Tensor:
    """An orthonormal basis of the rows, without those that others nearly span."""
    size = p.norm(dim=1, keepdim=True)
    q, triangle = torch.linalg.qr((p / size.clamp_min(1e-300)).mT)
    return q.mT[triangle.diagonal().abs() > 1e-8]
