"""Dense blocks that are evaluated directly: their own rounding errors, known beforehand, are all of δ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from certlip.blocks import Activation, Affine, Normalize, Residual
from certlip.certification.enclosure.apriori import Sizes, residual_sizes, size_of
from certlip.certification.enclosure.base import Local
from certlip.certification.enclosure.side_by_side import product
from certlip.linalg.rigorous.rounding import TINY, U, norm_up, up
from certlip.lmi import BlockProof

Explicit = Callable[[np.ndarray], Local]


def normalize(block: Normalize, x: np.ndarray) -> Local:
    """(x − mean)/std: two roundings per entry of the result."""
    y = (x - block.mean.numpy()) / block.std.numpy()
    return Local(y, up(4.0 * U * norm_up(y)) + TINY)


def affine(block: Affine, proof: BlockProof) -> Explicit:
    """Wx + b."""
    del proof
    WT, b = block.W.numpy().T, block.b.numpy()
    sizes = Sizes.exact().product(size_of(WT), len(WT), float(norm_up(b)))
    return lambda x: Local(product(x, WT) + b, sizes.bound(norm_up(x)))


def activation(block: Activation, proof: BlockProof) -> Explicit:
    """σ(x)."""
    del proof
    sizes = Sizes.exact().activated(block.sigma)
    return lambda x: Local(
        block.sigma.forward(torch.from_numpy(x)).numpy(), sizes.bound(norm_up(x))
    )


def residual(block: Residual, proof: BlockProof) -> Explicit:
    """x − 2 W D σ(Wᵀx + b)."""
    del proof
    W, D, b = (a.numpy() for a in (block.W, block.D, block.b))
    terms = W.shape
    sizes = residual_sizes(np.abs(W.T), D, b, block.sigma, (terms[0], terms[1]))

    def local(x: np.ndarray) -> Local:
        s = block.sigma.forward(torch.from_numpy(product(x, W) + b)).numpy()
        return Local(x - product(s * (2.0 * D), W.T), sizes.bound(norm_up(x)))

    return local
