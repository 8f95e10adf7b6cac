"""y = x − 2 W D σ(Wᵀx + b) on boxes, each step of the formula for itself.

x and σ(Wᵀx + b) are taken as if they were independent: plain interval arithmetic.
"""

from __future__ import annotations

import numpy as np

from certlip.blocks import ConvResidual, Residual
from certlip.certification.interval.activation import Activate
from certlip.certification.interval.affine import Matrix
from certlip.certification.interval.base import Step
from certlip.certification.interval.convolution import kernel
from certlip.linalg.rigorous.ball import Ball


class Detour(Step):
    """y = x − 2 back(D σ(there(x)))."""

    def __init__(self, there: Step, sigma: Activate, D: np.ndarray, back: Step) -> None:
        self.there, self.sigma, self.double_D, self.back = there, sigma, 2.0 * D, back

    def __call__(self, box: Ball) -> Ball:
        return box - self.back(self.sigma(self.there(box)) * self.double_D)


def residual(block: Residual) -> list[Step]:
    W = block.W.numpy()
    there, back = Matrix(W.T, block.b.numpy()), Matrix(W, np.zeros(len(W)))
    return [Detour(there, Activate(block.sigma), block.D.numpy(), back)]


def conv_residual(block: ConvResidual) -> list[Step]:
    parts = block.K.numpy(), block.height, block.width, block.padding
    there, back = kernel(*parts, block.b.numpy()), kernel(*parts, adjoint=True)
    D = np.repeat(block.D.numpy(), block.pixels)
    return [Detour(there, Activate(block.sigma), D, back)]
