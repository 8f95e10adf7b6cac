"""x − 2WDσ(Wᵀx + b) in float32, dense or on images.

Errors inside are measured in the norm of D: with DWᵀWD ⪯ (1 + δ)D, ‖2WDe‖ ≤ 2√(1 + δ)·‖D^{1/2}e‖, however
different the columns of W are.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import ConvResidual, Residual
from certlip.certification.float32.activations import relative_error
from certlip.certification.float32.arithmetic import ETA, U32, bounded, gamma32, upward
from certlip.certification.float32.base import LocalError
from certlip.certification.float32.products import Product, require_range, root_up
from certlip.lmi import ResidualProof


class ResidualError(LocalError):
    """Wᵀx + b, σ, the product with D, that with 2W, and a difference. Convolutions are direct."""

    def __init__(self, block: Residual | ConvResidual, proof: ResidualProof) -> None:
        dense = isinstance(block, Residual)
        A = block.W.numpy().T if dense else block.K.numpy()
        pixels = 1 if dense else block.pixels
        D = block.D.numpy()
        k, d, taps = A.shape[0], A.shape[1], A[0, 0].size
        self.largest_D = float(D.max())
        require_range(D, 2.0 * self.largest_D * np.abs(A).max(keepdims=True))
        root = root_up(D)
        self.inner = Product(A, block.b.numpy(), weight=root, pixels=pixels)
        self.relative = relative_error(block.sigma)
        # 2|W|D|s|: the norm of 2|W|D^{1/2} is twice that of D^{1/2}|Wᵀ|; D is rounded, and Ds
        self.back = 2.0 * self.inner.size
        self.gamma = gamma32(k * taps + 3)
        self.growth = upward(2.0 * np.sqrt(1.0 + proof.delta))
        self.flushed = upward(4.0 * ETA * np.sqrt(k * pixels) * float(root.max()))
        self.flushed_back = upward(16.0 * ETA * np.sqrt(d * pixels) * (k * taps + 3))
        per_state = self.inner.crude + np.sqrt(k * d) * taps * (1.0 + self.largest_D)
        self.per_state = upward(16.0 * ETA * per_state)
        self.states = np.sqrt(k * pixels)

    def __call__(self, N: np.ndarray) -> np.ndarray:
        inner, largest = self.inner, self.inner.largest(N)
        V, e = inner.magnitude(N), inner.error(N)
        e = upward(
            e + self.relative * (V + e) + self.flushed
        )  # of s = σ(Wᵀx + b), in the norm of D
        S = upward(V + e)
        back = (
            self.gamma * self.back * S
            + self.flushed_back
            + self.per_state * (largest + self.states)
        )
        step = upward(self.back * S + back)
        error = upward(self.growth * e + back + U32 * (N + step))
        return bounded(upward((4.0 + 4.0 * self.largest_D) * (largest + step + N)), error)
