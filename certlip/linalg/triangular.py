"""Strictly block lower-triangular matrices, recognised by exact zeros in storage.

An equilibrium z = σ(Wz + c) with such a W is solved by one forward substitution and is well-posed
without any further condition (an explicit network is of this form, equation (14)).
"""

from __future__ import annotations

import numpy as np


def strict_lower_blocks(W: np.ndarray) -> list[slice] | None:
    """The coarsest consecutive blocks in which the square W is strictly block lower-triangular.

    Each returned slice B has W[B, j] = 0 exactly for every j ≥ B.start, so z_B depends on the
    coordinates before B only. `None` if the diagonal or the upper triangle has a non-zero.
    """
    n = W.shape[0]
    if np.triu(W).any():
        return None
    nonzero = W != 0.0
    # the last coordinate that row i reads, −1 if it reads none
    last = np.where(nonzero.any(axis=1), n - 1 - nonzero[:, ::-1].argmax(axis=1), -1)
    blocks, start = [], 0
    for i in range(1, n + 1):
        if i == n or last[i] >= start:
            blocks.append(slice(start, i))
            start = i
    return blocks
