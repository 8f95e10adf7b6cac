"""The rules of the blocks that need no matrix inequality with multipliers."""

from __future__ import annotations

import math
import time
from fractions import Fraction

from certlip.blocks import Activation, Affine, Normalize
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import UpperBound, spectral_norm
from certlip.lmi.proof import BlockProof
from certlip.lmi.slack import SLACK


def prove_normalize(block: Normalize) -> BlockProof:
    """L = max 1/std, rounded up.

    Raises:
        InconclusiveError: 1/std overflows.
    """
    start = time.perf_counter()
    smallest = float(block.std.min())
    lip = 1.0 / smallest
    if lip == math.inf:
        raise InconclusiveError(f"std = {smallest}: 1/std is above the largest double")
    if Fraction(lip) * Fraction(smallest) < 1:
        lip = math.nextafter(lip, math.inf)
    return BlockProof("diagonal", UpperBound(lip), lip, time.perf_counter() - start)


def prove_affine(block: Affine) -> BlockProof:
    """L = ‖W‖₂, by verified Cholesky of τ²I − WWᵀ."""
    start = time.perf_counter()
    lip = spectral_norm(block.W.numpy(), slack=SLACK)
    return BlockProof("spectral", lip, lip.value, time.perf_counter() - start)


def prove_activation(block: Activation) -> BlockProof:
    """L = 1: the slopes were checked when the block was made."""
    del block
    return BlockProof("slope", UpperBound(1.0), 1.0, 0.0)
