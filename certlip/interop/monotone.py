"""A monotone DEQ from its parameters, which several code bases store under other names."""

from __future__ import annotations

import torch
from torch import Tensor

from certlip.blocks import Equilibrium, Origin, Sigma
from certlip.blocks.activations import ReLU


def monotone_equilibrium(
    A: Tensor, B: Tensor, U: Tensor, G: Tensor, b_z: Tensor, b_y: Tensor, m: float
) -> Equilibrium:
    """z = relu(Wz + Ux + b_z), y = Gz + b_y with W = (1 − m)I − AᵀA + B − Bᵀ (5), computed in float64.

    The frozen W is that rounded matrix; its conditions are proven on it, not on the formula.

    Raises:
        InputError: shapes that do not fit.
    """
    n = A.shape[0]
    W = (1.0 - m) * torch.eye(n, dtype=torch.float64) - A.T @ A + B - B.T
    return Equilibrium(W, U, G, b_z, b_y, Sigma.of(ReLU(), n), Origin("mondeq", {"m": m}))
