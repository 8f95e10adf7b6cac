"""Gram iteration: an upper bound of the spectral norm that is differentiable and cheap on a GPU.

    ‖W‖₂ ≤ ‖(WᵀW)^{2^t}‖_F^{1/2^{t+1}} ≤ k^{1/2^{t+2}} ‖W‖₂

in exact arithmetic, from above and quadratically convergent, where power iteration converges from
below and is no bound. Source: Delattre, Barthélemy, Araujo & Allauzen, ICML 2023. In floating point
it is a guess like everything else; `linalg/rigorous` proves norms.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gram_norm(W: Tensor, steps: int = 10) -> Tensor:
    """Upper bound of ‖W‖₂ for W (…, m, k), of shape (…); within a factor k^{1/2^{steps+2}}."""
    W = W if W.shape[-2] >= W.shape[-1] else W.mH
    tiny = torch.finfo(W.dtype).tiny
    size = W.norm(dim=(-2, -1)).clamp_min(tiny)
    G = W / size[..., None, None]
    G = G.mH @ G
    log_norm = size.log()  # of what has been divided out, at the scale of ‖W‖
    power = 2.0
    for _ in range(steps):
        size = G.norm(dim=(-2, -1)).clamp_min(tiny)
        log_norm = log_norm + size.log() / power
        G = G / size[..., None, None]
        G = G @ G
        power *= 2.0
    return (log_norm + G.norm(dim=(-2, -1)).clamp_min(tiny).log() / power).exp()
