"""Rows of numbers with a proven bound of their ℓ2 error: the arithmetic of enclosures on images.

Entrywise bounds would cost as much as the evaluation itself, and grow by ‖|K|‖₂ at a convolution where
the true error grows by ‖K‖₂. One number per row costs a norm, and grows by a proven norm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from certlip.blocks import Sigma
from certlip.linalg.rigorous.rounding import TINY, U, norm_up, up


@dataclass(frozen=True)
class Near:
    """v (batch, d) with ‖v − true‖₂ ≤ error (batch,); infinite where v is not finite."""

    v: np.ndarray
    error: np.ndarray

    @classmethod
    def exact(cls, v: np.ndarray) -> Near:
        return cls(v, np.zeros(len(v)))

    def __post_init__(self) -> None:
        finite = np.isfinite(self.v).all(axis=1)
        object.__setattr__(self, "error", np.where(finite, self.error, np.inf))

    def __add__(self, other: Near | np.ndarray) -> Near:
        """The sum with another near row, or with an exact vector (d,)."""
        other = other if isinstance(other, Near) else Near.exact(other[None])
        return _rounded(self.v + other.v, up(self.error + other.error))

    def __sub__(self, other: Near) -> Near:
        return _rounded(self.v - other.v, up(self.error + other.error))

    def __mul__(self, factors: np.ndarray) -> Near:
        """The product with exact factors (d,), entry by entry."""
        largest = float(np.abs(factors).max())
        return _rounded(self.v * factors, up(largest * self.error) + TINY)

    def activated(self, sigma: Sigma) -> Near:
        """σ: slopes in [0, 1] keep the error, the function's own evaluation error is added."""
        s = sigma.forward(torch.from_numpy(np.ascontiguousarray(self.v))).numpy()
        relative = sigma.relative_error().numpy()
        if not relative.any():
            return Near(s, self.error)
        return Near(s, up(self.error + up(norm_up(up(relative * np.abs(s))) + TINY)))

    def norm_upper(self) -> np.ndarray:
        """Upper bound of the norm of the true row."""
        return up(norm_up(self.v) + self.error)


def _rounded(v: np.ndarray, error: np.ndarray) -> Near:
    """The result of one rounded operation per entry: off by at most u|v|, and by underflow elsewhere."""
    return Near(v, up(error + up(U * norm_up(v))))
