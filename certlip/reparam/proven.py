"""An equilibrium block with multipliers for which (10) is expected to hold: what the theorems pass on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.blocks import ConvEquilibrium, Equilibrium, Origin, equilibrium_block
from certlip.linalg.structure import Structure, structure_on


@dataclass(frozen=True)
class Proven:
    """A block with Λ per unit, (n,), and L. W, U, G are matrices, or kernels on a torus."""

    block: Equilibrium | ConvEquilibrium
    lam: Tensor
    lip: float

    @property
    def structure(self) -> Structure:
        return structure_of(self.block)

    def frozen(self) -> Equilibrium | ConvEquilibrium:
        """The block with Λ and L as its origin."""
        b = self.block
        origin = Origin("lben", {"lip": self.lip}, {"psi": 1.0 / self.lam})
        torus = self.structure.torus
        return equilibrium_block(b.W, b.U, b.G, b.b_z, b.b_y, b.sigma, torus=torus, origin=origin)


def structure_of(block: Equilibrium | ConvEquilibrium) -> Structure:
    """Matrices, or kernels on the torus of the block."""
    return structure_on(block.torus if isinstance(block, ConvEquilibrium) else None)


def zeros(structure: Structure, o: int, i: int) -> Tensor:
    """The array of the zero map between units."""
    return structure.lifted(torch.zeros(o, i, dtype=torch.float64))


def identity(structure: Structure, n: int) -> Tensor:
    """The array of the identity on n units."""
    return structure.lifted(torch.eye(n, dtype=torch.float64))
