"""Orthogonal dense layers by the Cayley transform.

For a tall Z = [X; Y] (X square):  A = X − Xᵀ + YᵀY,  Q = [(I − A)(I + A)⁻¹; −2Y(I + A)⁻¹],  QᵀQ =
I. A + Aᵀ = 2YᵀY ⪰ 0, so I + A is always invertible. Source: Trockman & Kolter, ICLR 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Activation, Affine, Block, Sigma
from certlip.blocks.activations import ActivationKind
from certlip.layers.base import NUDGE, LipschitzLayer, positive_sizes


def cayley(Z: Tensor) -> Tensor:
    """Q (m, n) with orthonormal columns for Z (m, n), m ≥ n; with orthonormal rows if m < n."""
    m, n = Z.shape
    if m < n:
        return cayley(Z.T).T
    X, Y = Z[:n], Z[n:]
    eye = torch.eye(n, dtype=Z.dtype, device=Z.device)
    A = X - X.T + Y.T @ Y
    # (I − A)(I + A)⁻¹ and Y(I + A)⁻¹ by one factorization of (I + A)ᵀ
    right = torch.linalg.solve((eye + A).T, torch.cat([(eye - A).T, -2.0 * Y.T], dim=1))
    return right.T


class OrthogonalDense(LipschitzLayer):
    """An affine layer R^d → R^q with orthonormal rows or columns, followed by σ unless that is None.

    Raises:
        InputError: d or q below 1.
    """

    def __init__(self, d: int, q: int, activation: ActivationKind | None = None) -> None:
        super().__init__()
        positive_sizes("orthogonal", d=d, q=q)
        self.activation = activation
        self.weight = nn.Parameter(torch.empty(q, d))
        self.bias = nn.Parameter(torch.zeros(q))
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        v = x @ cayley(self.weight).T + self.bias
        return v if self.activation is None else self.activation.forward(v)

    def freeze(self) -> list[Block]:
        W, b = (p.detach().double().cpu() for p in (self.weight, self.bias))
        blocks: list[Block] = [Affine((1.0 - NUDGE) * cayley(W), b)]
        if self.activation is not None:
            blocks.append(Activation(Sigma.of(self.activation, W.shape[0])))
        return blocks
