"""The rules of the blocks that need no matrix inequality with multipliers."""

from __future__ import annotations

import math
import time
from fractions import Fraction

from certlip.blocks import (
    Activation,
    Affine,
    Convolution,
    GroupSort,
    Normalize,
    Pooling,
    Resize,
    Window,
)
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import UpperBound, spectral_norm
from certlip.linalg.rigorous.frequencies import covering
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


def prove_convolution(block: Convolution) -> BlockProof:
    """L = max_f ‖K̂(f)‖₂ on the torus of the image, or on one that zero padding is a part of."""
    start = time.perf_counter()
    spectrum = covering(block.K.numpy(), block.height, block.width, block.padding)
    lip = spectrum.norm(slack=SLACK)
    return BlockProof("convolution", lip, lip.value, time.perf_counter() - start)


def prove_activation(block: Activation) -> BlockProof:
    """L = 1: the slopes were checked when the block was made."""
    del block
    return BlockProof("slope", UpperBound(1.0), 1.0, 0.0)


def prove_pooling(block: Pooling) -> BlockProof:
    """L = 1: k² entries of 1/k in each row, and no two rows share a column."""
    del block
    return BlockProof("pooling", UpperBound(1.0), 1.0, 0.0)


def prove_resize(block: Resize) -> BlockProof:
    """L = 1: coordinates are left out, or zeros appended."""
    del block
    return BlockProof("resize", UpperBound(1.0), 1.0, 0.0)


def prove_window(block: Window) -> BlockProof:
    """L = 1: every output is 0 or an entry of the input, and no two are the same entry."""
    del block
    return BlockProof("window", UpperBound(1.0), 1.0, 0.0)


def prove_group_sort(block: GroupSort) -> BlockProof:
    """L = 1: of all orders of two vectors, the sorted ones are nearest (rearrangement inequality)."""
    del block
    return BlockProof("sort", UpperBound(1.0), 1.0, 0.0)
