"""Float32 matrix products and direct convolutions with a bias: the bulk of every block."""

from __future__ import annotations

import numpy as np

from certlip.certification.float32.arithmetic import ETA, HUGE, gamma32, upward
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import spectral_norm
from certlip.linalg.rigorous.rounding import norm_up, sum_up, up


class Product:
    """x ↦ fl(Ax + b): every entry an ordinary dot product of rounded numbers, its terms in any order.

    Norms of outputs are weighted by `weight` ≥ 0 per row of A: ‖v‖ stands for ‖diag(weight)·v‖₂.

    Args:
        A: (o, i), or a kernel (o, i, kh, kw) for a direct convolution or its adjoint.
        b: (o,), or None without bias.
        pixels: Of the image a kernel acts on.
        roundings: How many more roundings than its own each stored entry of A goes through.

    Raises:
        InconclusiveError: sums that are too long, or a norm that overflows.
    """

    def __init__(
        self,
        A: np.ndarray,
        b: np.ndarray | None = None,
        *,
        weight: np.ndarray | None = None,
        pixels: int = 1,
        roundings: int = 0,
    ) -> None:
        A = np.abs(A).reshape(*A.shape[:2], -1)
        o, i, taps = A.shape
        weight = np.ones(o) if weight is None else weight
        b = np.zeros(o) if b is None else b
        require_range(A, b)
        # ‖|K|‖₂ is attained by constant images on a torus, and no larger with zero padding
        self.size = norm_of(up(weight[:, None] * (A[:, :, 0] if taps == 1 else sum_up(A))))
        self.bias = float(upward(norm_up(up(weight * np.abs(b))) * np.sqrt(pixels)))
        self.crude = crude_norm(sum_up(A))
        self.plain_bias = float(upward(norm_up(b) * np.sqrt(pixels)))
        # each product is rounded once, and so is each entry of A; the terms and b are added in i·taps steps
        self.gamma = gamma32(i * taps + 2 + roundings)
        largest = float(weight.max())
        # operands below η, entries of A below η, and results below η, each grown by (1 + γ)² ≤ 2 at most
        self.flushed = upward(
            2.0 * ETA * np.sqrt(i * pixels) * self.size
            + 8.0 * ETA * largest * np.sqrt(o * pixels) * (i * taps + 2)
        )
        self.per_input = upward(2.0 * ETA * largest * np.sqrt(o * i) * taps)

    def magnitude(self, N: np.ndarray) -> np.ndarray:
        """≥ ‖|A||x| + |b|‖ for ‖x‖₂ ≤ N: bounds the exact product as well."""
        return upward(self.size * N + self.bias)

    def error(self, N: np.ndarray) -> np.ndarray:
        """≥ ‖fl(Ax + b) − (Ax + b)‖ for every float32 x with ‖x‖₂ ≤ N."""
        return upward(self.gamma * self.magnitude(N) + self.flushed + self.per_input * N)

    def largest(self, N: np.ndarray) -> np.ndarray:
        """Bounds every number on the way, and the norm of what is computed, whatever the weights are."""
        return upward(2.0 * (self.crude * N + self.plain_bias + ETA))


def require_range(*arrays: np.ndarray) -> None:
    """Raises an `InconclusiveError` unless all numbers are finite in float32, with room for a doubling."""
    for array in arrays:
        if not float(np.abs(array).max()) <= HUGE / 2.0:
            raise InconclusiveError(
                f"a stored number of size {np.abs(array).max():.3g} overflows in float32"
            )


def root_up(x: np.ndarray) -> np.ndarray:
    """√x, rounded up."""
    return up(np.sqrt(x))


def norm_of(A: np.ndarray) -> float:
    """A proven bound of ‖A‖₂.

    Raises:
        InconclusiveError: it is no double.
    """
    try:
        return spectral_norm(A).value
    except ValueError as error:
        raise InconclusiveError(str(error)) from None


def crude_norm(A: np.ndarray) -> float:
    """√(largest row sum · largest column sum) of A ≥ 0: bounds ‖A‖₂, for what is far from mattering."""
    return float(upward(np.sqrt(sum_up(A, axis=-1).max() * sum_up(A, axis=-2).max()) + ETA))
