"""Block lower-triangular matrices: exactly so in storage, or up to small entries.

An equilibrium z = σ(Wz + c) whose W is strictly block lower-triangular is solved by one forward
substitution and is well-posed without any further condition (an explicit network is of this form,
equation (14)). One that is nearly so is solved by a few sweeps.
"""

from __future__ import annotations

import numpy as np


def strict_lower_blocks(W: np.ndarray) -> list[slice] | None:
    """The coarsest consecutive blocks in which the square W is strictly block lower-triangular.

    Each returned slice B has W[B, j] = 0 exactly for every j ≥ B.start, so z_B depends on the
    coordinates before B only. `None` if the diagonal or the upper triangle has a non-zero.
    """
    return _lower_blocks(W != 0.0)


def nearly_lower_blocks(W: np.ndarray, share: float = 0.1) -> list[slice] | None:
    """The same, with entries of at most `share` of the largest taken for zero.

    Says nothing exact about W: for solvers, whose result is judged by its residual.
    """
    size = np.abs(W)
    return _lower_blocks(size > share * size.max())


def _lower_blocks(nonzero: np.ndarray) -> list[slice] | None:
    n = nonzero.shape[0]
    if np.triu(nonzero).any():
        return None
    # the last coordinate that row i reads, −1 if it reads none
    last = np.where(nonzero.any(axis=1), n - 1 - nonzero[:, ::-1].argmax(axis=1), -1)
    blocks, start = [], 0
    for i in range(1, n + 1):
        if i == n or last[i] >= start:
            blocks.append(slice(start, i))
            start = i
    return blocks
