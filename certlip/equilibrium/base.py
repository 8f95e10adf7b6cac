"""What the implicit layers share: z = σ(Wz + Ux + b_z), y = Gz + b_y, and what is kept between calls.

W, its spectrum and its resolvent depend on the parameters alone. They are kept until a parameter changes,
so that evaluation does not compute them per batch; in training they are computed once per step.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from certlip.blocks import ConvEquilibrium, Equilibrium, Origin, Sigma, equilibrium_block
from certlip.linalg.kept import Kept
from certlip.linalg.operators import Operator
from certlip.linalg.structure import Structure
from certlip.solvers import EquilibriumSolver, Solution, equilibrium, solver_for

#: W, U and G as operators, and the solver that was made for W.
Ready = tuple[tuple[Operator, Operator, Operator], EquilibriumSolver]


@dataclass(frozen=True)
class Maps:
    """W, U and G as they act, and U and G as arrays; what `freeze` stores for W is `array` of it."""

    W: Tensor
    U: Tensor
    G: Tensor


class ImplicitLayer(nn.Module, ABC):
    """A trainable equilibrium layer, dense or with convolutions on a torus.

    Law: the parametrization keeps the conditions for all values of the parameters; `freeze` stores the
    numbers of W, and the bound is proven on those.
    """

    structure: Structure
    sigma: Sigma
    b_z: nn.Parameter
    b_y: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        self.last_solution: Solution | None = None
        self._kept: Kept[Ready] = Kept()

    @abstractmethod
    def maps(self) -> Maps:
        """The blocks of W, and the arrays U and G, differentiable in the parameters."""

    @abstractmethod
    def metric(self) -> Tensor:
        """The diagonal of Γ of (3) per unit, (units,)."""

    @abstractmethod
    def constants(self) -> tuple[float | None, ...]:
        """The plain numbers that W and U depend on."""

    @abstractmethod
    def origin(self) -> Origin:
        """What the analytic multipliers are computed from."""

    @abstractmethod
    def factors(self) -> tuple[Tensor, ...]:
        """The arrays X whose products XᵀX make W: they decide the size of its kernel."""

    def forward(self, x: Tensor) -> Tensor:
        """y (batch, out) for x (batch, in), flat; `last_solution` tells how it was reached."""
        (W, U, G), solver = self._prepared()
        c = U.apply(x) + self.structure.spread(self.b_z)
        z, self.last_solution = equilibrium(W, c, solver)
        return G.apply(z) + self.structure.spread(self.b_y)

    def _prepared(self) -> Ready:
        parameters = list(self.parameters())
        kept = self._kept.find(parameters, self.constants())
        graph = torch.is_grad_enabled() and any(p.requires_grad for p in parameters)
        if kept is not None and not graph:
            return kept
        maps, s = self.maps(), self.structure
        W, U, G = s.operator(maps.W), s.map(maps.U), s.map(maps.G)
        if kept is None:
            solver = solver_for(W.detach(), self.sigma, metric=self.metric().detach())
            ready = (W.detach(), U.detach(), G.detach()), solver
            kept = self._kept.store(parameters, ready, self.constants())
        return (W, U, G), kept[1]

    @torch.no_grad()
    def freeze(self) -> Equilibrium | ConvEquilibrium:
        """The layer as a float64 block with the origin of its analytic multipliers."""
        twin = self._double()
        maps, structure = twin.maps(), self.structure
        taps = zip(*(X.shape[2:] for X in twin.factors()), strict=True)
        W = structure.array(maps.W, [2 * max(sides) - 1 for sides in taps])
        return equilibrium_block(
            W,
            maps.U,
            maps.G,
            twin.b_z,
            twin.b_y,
            self.sigma,
            origin=twin.origin(),
            torus=structure.torus,
        )

    def _double(self) -> ImplicitLayer:
        """A float64 copy on the CPU, without the states of the last call."""
        solution, self.last_solution = self.last_solution, None
        try:
            return copy.deepcopy(self).double().cpu()
        finally:
            self.last_solution = solution
