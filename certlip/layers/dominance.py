"""Diagonal matrices above a Gram matrix, from sums of absolute values.

    WᵀW ⪯ diag(Σ_j |WᵀW|_ij q_j/q_i),  q > 0

Why: after scaling by q the difference is diagonally dominant (Gershgorin). For a convolution, K Kᵀ has the
taps of the autocorrelation of K, so that

    K Kᵀ ⪯ diag(Σ_j Σ_t |Σ_{c,s} K_ics K_jc(s+t)| q_j/q_i)  on all channels of every pixel;

with circular padding taps may meet on one pixel, where their sum is no larger, and with zero padding K is
a part of the convolution on the whole plane. Source: Araujo et al., ICLR 2023; Prach & Lampert, ECCV
2022.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class _GramSums(torch.autograd.Function):
    """|WᵀW| q and WᵀW: what reaches WᵀW is symmetrized, so that its gradient takes one product, not two."""

    generate_vmap_rule = True

    @staticmethod
    def forward(W: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        gram = W.T @ W
        return gram.abs() @ q, gram

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(
        ctx, g: Tensor | None, g_gram: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        W, q, gram = ctx.saved_tensors
        of_W = of_q = None
        if g is not None:
            of_W = gram.sign() * (g[:, None] * q + q[:, None] * g)
            of_q = gram.abs() @ g
        if g_gram is not None:  # only where this is differentiated again
            of_W = g_gram + g_gram.mT if of_W is None else of_W + g_gram + g_gram.mT
        return None if of_W is None else W @ of_W, of_q


def gram_sums(W: Tensor, q: Tensor) -> Tensor:
    """Σ_j |WᵀW|_ij q_j, (k,), for W (d, k) and q (k,)."""
    return _GramSums.apply(W, q)[0]


def correlation_sums(K: Tensor, q: Tensor) -> Tensor:
    """Σ_j Σ_t |autocorrelation of K|_ij(t) q_j, (k,), for a kernel K (k, c, kh, kw) and q (k,)."""
    reach = K.shape[2] - 1, K.shape[3] - 1
    return F.conv2d(K, K, padding=reach).abs().sum(dim=(2, 3)) @ q


def inverse(T: Tensor) -> Tensor:
    """T⁻¹ entrywise, 0 where T is 0: there the unit has no weights and never acts."""
    return torch.where(T > 0, 1.0 / T.clamp_min(torch.finfo(T.dtype).tiny), 0.0)
