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

#: Up to this many columns a Gram matrix is formed whole; below it, halves cost more than they save.
WHOLE = 128


def gram_sums(W: Tensor, q: Tensor) -> Tensor:
    """Σ_j |WᵀW|_ij q_j, (k,), for W (d, k) and q (k,)."""
    k = W.shape[1]
    if k <= WHOLE:
        return (W.T @ W).abs() @ q
    # WᵀW is symmetric: one of the two off-diagonal blocks is enough
    A, B = W.split((k // 2, k - k // 2), dim=1)
    p, r = q.split((k // 2, k - k // 2))
    C = (A.T @ B).abs()
    return torch.cat([gram_sums(A, p) + C @ r, gram_sums(B, r) + p @ C])


def correlation_sums(K: Tensor, q: Tensor) -> Tensor:
    """Σ_j Σ_t |autocorrelation of K|_ij(t) q_j, (k,), for a kernel K (k, c, kh, kw) and q (k,)."""
    reach = K.shape[2] - 1, K.shape[3] - 1
    return F.conv2d(K, K, padding=reach).abs().sum(dim=(2, 3)) @ q


def inverse(T: Tensor) -> Tensor:
    """T⁻¹ entrywise, 0 where T is 0: there the unit has no weights and never acts."""
    return torch.where(T > 0, 1.0 / T.clamp_min(torch.finfo(T.dtype).tiny), 0.0)
