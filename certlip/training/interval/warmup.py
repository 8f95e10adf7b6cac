"""Penalties while boxes grow: on layers that widen them, and on ReLUs that are all on or all off.

Source: Shi, Wang, Zhang, Yi & Hsieh, NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def tightness(widths: Sequence[Tensor], tolerance: float) -> Tensor:
    """The mean over layers of max(0, τ − w₀/w_k)/τ, w_k the mean radius of layer k: radii may grow by 1/τ
    before it counts."""
    first, rest = widths[0], torch.stack(list(widths[1:]))
    return _short(first / rest.clamp_min(torch.finfo(rest.dtype).tiny), tolerance)


def balance(inner: Sequence[tuple[Tensor, Tensor]], tolerance: float) -> Tensor:
    """The mean of max(0, τ − α)/τ over two ratios α in [0, 1] of every ReLU.

    Of boxes (batch, …) with centres c and radii r that go into it, those above 0 as a whole are on, those
    below are off. The ratios are of Σ|c| and of Σ(c − c̄)² over either kind, the smaller by the larger: 1
    where both weigh the same, 0 where one has none.
    """
    ratios = []
    for c, r in inner:
        on, off = c > r, c < -r
        squares = (c - c.mean()).square()
        for size in (c.abs(), squares):
            ratios.append(_even((size * on).sum(), (size * off).sum()))
    return _short(torch.stack(ratios), tolerance)


def _even(a: Tensor, b: Tensor) -> Tensor:
    """The smaller of a, b ≥ 0 by the larger; 0 if both are 0."""
    larger = torch.maximum(a, b).clamp_min(torch.finfo(a.dtype).tiny)
    return torch.minimum(a, b) / larger


def _short(ratios: Tensor, tolerance: float) -> Tensor:
    return (tolerance - ratios).clamp_min(0.0).mean() / tolerance
