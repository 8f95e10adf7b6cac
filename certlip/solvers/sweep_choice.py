"""Which blocks and which sweep suit an operator."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from certlip.blocks.activations import Sigma
from certlip.blocks.image import channel_sigma
from certlip.linalg.operators import Circulant, Dense, Operator, Stencil, as_operator
from certlip.linalg.triangular import nearly_lower_blocks
from certlip.solvers.dense_sweep import DenseSweep
from certlip.solvers.sweeps import Sweep
from certlip.solvers.torus_sweep import TorusSweep

MOST_BLOCKS = 64  # more blocks than this cost more in calls than they save in sweeps
LARGEST_ABOVE = 0.25  # of the largest entry of W, that an entry above the blocks may have
SMALL_ENTRY = 0.02  # of the largest entry of W, below which an entry makes no block of its own


def sweep_for(
    W: Operator, sigma: Sigma, blocks: list[slice], *, strict: bool = False, eliminate: bool = True
) -> Sweep:
    """The sweep over these blocks of units, for σ per coordinate; see `Sweep` for the rest."""
    if isinstance(W, Dense):
        return DenseSweep(W, sigma, blocks, strict=strict, eliminate=eliminate)
    assert isinstance(W, Circulant | Stencil)
    sigma = channel_sigma(sigma, W.repeat)
    return TorusSweep(W, sigma, blocks, strict=strict, eliminate=eliminate)


def blocks_of(W: Tensor | Operator) -> list[slice] | None:
    """The blocks of units to sweep over, or None where W has no such structure."""
    W = as_operator(W)
    pattern = W.pattern().cpu().numpy()
    largest = float(pattern.max(initial=0.0))
    above = float(np.triu(pattern).max(initial=0.0)) / largest if largest > 0.0 else 1.0
    if not above <= LARGEST_ABOVE:
        return None
    # what is above the blocks is taken for zero, and whatever is as small with it
    blocks = nearly_lower_blocks(pattern, max(1.2 * above, SMALL_ENTRY))
    if blocks is None:
        return None
    return blocks if 1 < len(blocks) <= min(MOST_BLOCKS, W.units // 2) else None
