"""What rounding can do to a formula, known before any input: δ ≤ a‖x‖ + b.

The same formula that is evaluated in float64 is written once more with `Sizes` in place of rows: each
operation then bounds the largest norm of a computed row and its distance to the exact one, both as
linear functions of ‖x‖. At run time an enclosure of an explicit block is one evaluation and one
norm. Products are bounded by γ_k‖|A|‖₂: their sums may be computed in any order. A factor D ≥ 0 may be
shared between the two sides of a product (√D A and √D): exact diagonal scalings commute with
relative errors per entry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from certlip.blocks import Sigma
from certlip.linalg.rigorous.rounding import TINY, U, gamma, norm_up, sum_up, up

#: Rows whose intermediate numbers may be larger than this are not bounded: sums could overflow.
LARGEST = 2.0**900


@dataclass(frozen=True)
class Linear:
    """ξ ↦ aξ + b with a, b ≥ 0, rounded up."""

    a: float
    b: float

    def __add__(self, other: Linear) -> Linear:
        return Linear(float(up(self.a + other.a)), float(up(self.b + other.b)))

    def __mul__(self, factor: float) -> Linear:
        return Linear(float(up(self.a * factor)), float(up(self.b * factor)))

    def plus(self, b: float) -> Linear:
        return self + Linear(0.0, b)

    def __call__(self, xi: np.ndarray) -> np.ndarray:
        return up(up(self.a * xi) + self.b)


@dataclass(frozen=True)
class Sizes:
    """Bounds for a row computed from x: `size` of its norm, `error` of its distance to the exact row.

    `largest` bounds the norms of all rows on the way, partial sums of products included.
    """

    size: Linear
    error: Linear
    largest: Linear

    @classmethod
    def exact(cls) -> Sizes:
        """x itself."""
        return cls(Linear(1.0, 0.0), Linear(0.0, 0.0), Linear(1.0, 0.0))

    def product(self, norm: float, k: int, constant: float = 0.0) -> Sizes:
        """A·row + b computed as sums of k products and b, for ‖|A|‖₂ ≤ norm and ‖b‖ ≤ constant."""
        size = (self.size * norm).plus(constant)
        error = (self.error * norm + size * gamma(k + 1)).plus(TINY)
        return self._next(size * (1.0 + 2.0 * gamma(k + 1)), error)

    def activated(self, sigma: Sigma) -> Sizes:
        """σ, with slopes in [0, 1] and σ(0) = 0: |σ(v)| ≤ |v|."""
        relative = float(sigma.relative_error().max())
        if relative == 0.0:
            return self
        size = self.size * float(up(1.0 + relative))
        return self._next(size, (self.error + self.size * relative).plus(TINY))

    def rounded(self, factor: float = 1.0) -> Sizes:
        """`factor` ≥ 0 times the row, entries rounded once; the factor may stand for a diagonal."""
        size = self.size * factor
        error = (self.error * factor + size * U).plus(TINY)
        return self._next(size * (1.0 + 4.0 * U), error)

    def minus(self, other: Sizes) -> Sizes:
        """The rounded difference of two rows."""
        sizes = self._next(self.size + other.size, self.error + other.error)
        return Sizes(sizes.size, sizes.error, sizes.largest + other.largest).rounded()

    def bound(self, x_norm: np.ndarray) -> np.ndarray:
        """δ for rows x of norm ≤ x_norm; infinite where something on the way could overflow."""
        with np.errstate(over="ignore", invalid="ignore"):
            safe = self.largest(x_norm) <= LARGEST
            return np.where(safe, self.error(x_norm), np.inf)

    def _next(self, size: Linear, error: Linear) -> Sizes:
        return Sizes(size, error, self.largest + size)


def residual_sizes(
    A: np.ndarray, D: np.ndarray, b: np.ndarray, sigma: Sigma, terms: tuple[int, int]
) -> Sizes:
    """x − 2 Aᵀ D σ(Ax + b) for |A| (k, d), with so many products per sum on the way in and back.

    For a convolution |A| holds sums over taps, which have the norm of the whole, and b all pixels.
    """
    root = up(np.sqrt(D))
    norm = size_of(up(root[:, None] * A))
    pixels = len(b) // len(D)
    root_b = float(norm_up(up(np.repeat(root, pixels) * np.abs(b))))
    v = Sizes.exact().product(norm, terms[0], root_b)
    y = Sizes.exact().minus(v.activated(sigma).rounded(2.0).product(norm, terms[1]))
    # what underflows before D and after it, without its share in the norms
    lost = TINY * (1.0 + size_of(A) * (1.0 + 2.0 * float(D.max(initial=0.0))))
    return replace(y, error=y.error.plus(2.0 * lost))


def size_of(A: np.ndarray) -> float:
    """Bound of ‖|A|‖₂: √(largest row sum · largest column sum), or the Frobenius norm."""
    size = np.abs(A)
    sums = up(sum_up(size, axis=1).max() * sum_up(size, axis=0).max())
    return float(min(up(np.sqrt(sums + TINY)), norm_up(A.ravel())))
