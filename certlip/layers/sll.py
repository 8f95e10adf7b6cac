"""SDP-based Lipschitz layers (SLL), dense.

    y = x − 2 W T⁻¹ σ(Wᵀx + b),   T = diag(Σ_j |WᵀW|_ij q_j/q_i),  q > 0                      (9)

Why 1-Lipschitz: T − WᵀW is diagonally dominant after scaling by q, so WᵀW ⪯ T.
Source: Araujo, Havens, Delattre, Allauzen & Hu, ICLR 2023; equation number of Havens et al., 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.blocks import Block, Residual, Sigma
from certlip.blocks.activations import ActivationKind, ReLU
from certlip.errors import InputError
from certlip.layers.base import NUDGE, LipschitzLayer


def sll_scaling(W: Tensor, q: Tensor) -> Tensor:
    """The diagonal of T of (9), (k,), for W (d, k) and q (k,) > 0."""
    return (W.T @ W).abs() @ q / q


class SLLDense(LipschitzLayer):
    """A residual layer R^d → R^d with k hidden units.

    Args:
        d: Width of input and output.
        k: Number of hidden units.
        activation: σ, with slopes in [0, 1]; ReLU by default.

    Raises:
        InputError: d or k below 1.
    """

    def __init__(self, d: int, k: int, activation: ActivationKind | None = None) -> None:
        super().__init__()
        if d < 1 or k < 1:
            raise InputError(f"SLL layer of width {d} with {k} hidden units: expected at least 1")
        self.activation = activation or ReLU()
        self.weight = nn.Parameter(torch.empty(d, k))
        self.bias = nn.Parameter(torch.zeros(k))
        self.log_q = nn.Parameter(torch.zeros(k))  # q = exp(log_q) > 0, unconstrained
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        W = self.weight
        T = sll_scaling(W, self.log_q.exp())
        D = torch.where(T > 0, 1.0 / T.clamp_min(torch.finfo(T.dtype).tiny), 0.0)
        s = self.activation.forward(x @ W + self.bias)
        return x - 2.0 * (s * D) @ W.T

    def freeze(self) -> list[Block]:
        """One residual block without the zero columns.

        Raises:
            InputError: a parameter is not finite. (With a NaN every T > 0 is false, and the layer
                would freeze to the identity.)
        """
        W, b, log_q = (p.detach().double().cpu() for p in (self.weight, self.bias, self.log_q))
        T = sll_scaling(W, (log_q - log_q.max()).exp())  # (9) depends on ratios of q only
        for name, value in (("weight", W), ("bias", b), ("log_q", log_q), ("T", T)):
            if not bool(torch.isfinite(value).all()):
                raise InputError(f"SLL layer: {name} has an entry that is not finite")
        acts = T > 0  # a zero column of W never acts: it has no T⁻¹ and is dropped
        if not bool(acts.any()):
            acts[0] = True  # keep one, with D = 0, rather than an empty block
        D = torch.where(T > 0, (1.0 - NUDGE) / T.clamp_min(torch.finfo(T.dtype).tiny), 0.0)
        sigma = Sigma.of(self.activation, int(acts.sum()))
        return [Residual(W[:, acts].contiguous(), D[acts], b[acts], sigma)]
