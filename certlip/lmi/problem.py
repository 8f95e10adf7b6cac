"""What a solver of multipliers is given: the blocks W, U, G of one equilibrium, and nothing rigorous.

    minimise ρ  subject to  [[2Λ̃ − Λ̃W − WᴴΛ̃ − GᴴG,  Λ̃U], [UᴴΛ̃,  ρI]] ⪰ 0,  Λ̃ ≻ 0 diagonal

for all frequencies at once; Λ = Λ̃/L and L = √ρ then satisfy (10) (math of Revay, Wang & Manchester,
arXiv:2010.01732, with a Schur complement). Several output maps G make several problems that share W and U:
one for the logits, or one for each pair of classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from certlip.blocks import ConvEquilibrium, Equilibrium
from certlip.errors import InputError
from certlip.linalg.structure import structure_on
from certlip.lmi.forms import Forms


@dataclass(frozen=True)
class Problem:
    """The numbers that solvers work on, float64 or complex128.

    Args:
        W: (F, n, n), one block, or one per frequency of the half spectrum.
        U: (F, n, r), reduced: UUᴴ is that of the block, and r ≤ n.
        G: (B, F, q, n), one entry of the batch per output map.
    """

    W: Tensor
    U: Tensor
    G: Tensor

    @classmethod
    def of(
        cls, block: Equilibrium | ConvEquilibrium, device: str | torch.device = "cpu"
    ) -> Problem:
        """The problem of all outputs of a block."""
        s = structure_on(block.torus if isinstance(block, ConvEquilibrium) else None)

        def blocks(array: Tensor) -> Tensor:
            found = s.blocks(array.to(device))
            return found.reshape(-1, *found.shape[-2:])

        W, U, G = (blocks(array) for array in (block.W, block.U, block.G))
        return cls(W, reduced(U), G[None])

    @classmethod
    def of_forms(
        cls, forms: Forms, rows: np.ndarray | None = None, device: str | torch.device = "cpu"
    ) -> Problem:
        """The problem of dense matrices known up to a radius, at their midpoints; with `rows` (B, q), one
        problem for each combination rows[b]·y of the outputs."""
        W, U, G = (torch.from_numpy(ball.mid).to(device) for ball in (forms.W, forms.U, forms.G))
        if rows is None:
            return cls(W[None], reduced(U)[None], G[None, None])
        combined = torch.from_numpy(rows).to(device) @ G
        return cls(W[None], reduced(U)[None], combined[:, None, None, :])

    @classmethod
    def of_rows(
        cls, block: Equilibrium, rows: Tensor, device: str | torch.device = "cpu"
    ) -> Problem:
        """One problem for each row (B, n): the bounds of the scalar functions x ↦ rows[b]·z."""
        if rows.ndim != 2 or rows.shape[1] != block.n:
            raise InputError(f"rows of shape {tuple(rows.shape)}: expected (·, {block.n})")
        return replace(cls.of(block, device), G=rows.to(device)[:, None, None, :])

    @property
    def n(self) -> int:
        """Multipliers: one per neuron, or per channel."""
        return self.W.shape[-1]

    @property
    def count(self) -> int:
        """How many output maps there are."""
        return self.G.shape[0]


def reduced(U: Tensor) -> Tensor:
    """R (…, n, r) with RRᴴ = UUᴴ and r = min(n, p): the LMI knows U by UUᴴ alone."""
    if U.shape[-1] <= U.shape[-2]:
        return U
    _, R = torch.linalg.qr(U.mH, mode="r")
    return R.mH
