"""The penalty of the paper on what fine-tuning adds to the kernels.

W of a convolutional LBEN has a kernel of the size of the image. What an explicit network is rebuilt as has
few taps that are not zero; the ℓ1 norm of all others keeps fine-tuning near such kernels (Havens et al.,
2023, Section 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from certlip.equilibrium import LBEN

ROUNDING = 1e-10
"""Entries below this share of the largest are zero up to rounding."""


class KernelPenalty:
    """weight·Σ |entries of the kernels of W that were zero at the start|, over all convolutional LBENs."""

    def __init__(self, lbens: Sequence[LBEN], weight: float) -> None:
        self.weight = weight
        self.lbens = [lben for lben in lbens if lben.structure.torus is not None]
        with torch.no_grad():
            kernels = [_kernel(lben).abs() for lben in self.lbens]
        self.outside = [kernel <= ROUNDING * kernel.max() for kernel in kernels]

    def __bool__(self) -> bool:
        """Whether there is anything to add to a loss."""
        return self.weight > 0.0 and bool(self.lbens)

    def __call__(self) -> Tensor:
        """The penalty, a scalar, differentiable in the parameters."""
        terms = [
            torch.where(outside, _kernel(lben), 0.0).abs().sum()
            for lben, outside in zip(self.lbens, self.outside, strict=True)
        ]
        return self.weight * torch.stack(terms).sum()


def _kernel(lben: LBEN) -> Tensor:
    """W as stored taps (n, n, h, w)."""
    return lben.structure.array(lben.weight())
