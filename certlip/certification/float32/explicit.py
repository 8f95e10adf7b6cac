"""Blocks without inner states: normalisation, products, activations, and what only moves numbers."""

from __future__ import annotations

import numpy as np

from certlip.blocks import Activation, Affine, Block, Convolution, Normalize, Pooling
from certlip.certification.float32.activations import relative_error
from certlip.certification.float32.arithmetic import ETA, bounded, gamma32, upward
from certlip.certification.float32.base import LocalError
from certlip.certification.float32.products import Product, require_range
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous.rounding import norm_up, up
from certlip.lmi import BlockProof


class NormalizeError(LocalError):
    """(x − mean)/std: std is rounded, then a difference and a quotient: γ₃, and mean is rounded: γ₄.

    γ₃|x − mean|/std + u(1 + γ₃)|mean|/std ≤ γ₃|x|/std + γ₄|mean|/std.
    """

    def __init__(self, block: Normalize, proof: BlockProof) -> None:
        mean, std = block.mean.numpy(), block.std.numpy()
        require_range(mean, std)
        if float(std.min()) < 2.0 * ETA:
            raise InconclusiveError(f"std = {std.min():.3g} underflows in float32")
        self.lip = proof.lip.value
        self.mean = float(norm_up(up(np.abs(mean) / std)))
        self.difference = float(norm_up(mean))
        self.flushed = upward(8.0 * ETA * np.sqrt(len(mean)) * (1.0 + self.lip))

    def __call__(self, N: np.ndarray) -> np.ndarray:
        scaled = upward(self.lip * N)
        error = upward(gamma32(3) * scaled + gamma32(4) * self.mean + self.flushed)
        largest = upward(2.0 * (N + self.difference + scaled + self.mean) + self.flushed)
        return bounded(largest, error)


class ProductError(LocalError):
    """Wx + b, or K ∗ x + b computed directly."""

    def __init__(self, block: Affine | Convolution, proof: BlockProof) -> None:
        del proof
        if isinstance(block, Affine):
            self.product = Product(block.W.numpy(), block.b.numpy())
        else:
            self.product = Product(block.K.numpy(), block.b.numpy(), pixels=block.pixels)

    def __call__(self, N: np.ndarray) -> np.ndarray:
        return bounded(self.product.largest(N), self.product.error(N))


class ActivationError(LocalError):
    """σ(x), entry by entry."""

    def __init__(self, block: Activation, proof: BlockProof) -> None:
        del proof
        self.relative = relative_error(block.sigma)
        self.flushed = upward(4.0 * ETA * np.sqrt(block.in_width))

    def __call__(self, N: np.ndarray) -> np.ndarray:
        return bounded(N, upward(self.relative * N + self.flushed))


class PoolingError(LocalError):
    """Sums of k² numbers in any order, then one division by k or one product with the rounded 1/k."""

    def __init__(self, block: Pooling, proof: BlockProof) -> None:
        del proof
        k = block.window
        self.gamma = gamma32(k * k + 1)
        self.window = k
        self.flushed = upward(8.0 * ETA * np.sqrt(block.in_width) * (k * k + 2))

    def __call__(self, N: np.ndarray) -> np.ndarray:
        # the block itself has norm 1, and so it has for |x|
        error = upward(self.gamma * N + self.flushed)
        return bounded(upward(2.0 * self.window * N + self.flushed), error)


class MovesError(LocalError):
    """Numbers that are moved, sorted, left out, or joined by zeros: nothing but a flush to zero."""

    def __init__(self, block: Block, proof: BlockProof) -> None:
        del proof
        self.flushed = upward(4.0 * ETA * np.sqrt(block.in_width))

    def __call__(self, N: np.ndarray) -> np.ndarray:
        return bounded(N, np.full_like(N, self.flushed))
