"""Matrices with the same taps at every pixel, cut into strips of rows: block tridiagonal.

The Gram matrix KᵀK of a convolution that gives every pixel its kernel reaches has, in row (i, p) and column
(j, p + d) of channels i, j and pixels p, p + d, the entry T[d, i, j] = Σ_{o,t} K[o, i, t] K[o, j, t + d]:
taps of twice the reach, the same everywhere. Strips of so many rows see only their neighbours. Within a
strip states are in the order (row, column, channel).
"""

from __future__ import annotations

import math

import numpy as np

from certlip.linalg.rigorous.ball import Ball


def gram_taps(K: np.ndarray) -> Ball:
    """T (2kh − 1, 2kw − 1, i, i) of KᵀK for K (o, i, kh, kw); offset d at [d + (kh − 1, kw − 1)]."""
    o, i, kh, kw = K.shape
    padded = np.zeros((o, i, 3 * kh - 2, 3 * kw - 2))
    padded[:, :, kh - 1 : 2 * kh - 1, kw - 1 : 2 * kw - 1] = K
    plain = Ball(np.ascontiguousarray(K.transpose(0, 2, 3, 1)).reshape(-1, i))
    mid = np.empty((2 * kh - 1, 2 * kw - 1, i, i))
    rad = np.empty_like(mid)
    for r in range(2 * kh - 1):
        for s in range(2 * kw - 1):
            moved = padded[:, :, r : r + kh, s : s + kw].transpose(0, 2, 3, 1).reshape(-1, i)
            both = plain.T @ Ball(np.ascontiguousarray(moved))
            mid[r, s], rad[r, s] = both.mid, both.radius()
    return Ball(mid, rad)


class Strips:
    """An image of channels × height × width in strips of `rows` rows, the last one maybe of fewer."""

    def __init__(self, channels: int, height: int, width: int, rows: int) -> None:
        self.channels, self.height, self.width, self.rows = channels, height, width, rows
        self.starts = range(0, height, rows)

    def __len__(self) -> int:
        return len(self.starts)

    def of(self, values: np.ndarray, k: int) -> np.ndarray:
        """Strip k of values (…, channels, height, width), flat: (…, n_k)."""
        start = self.starts[k]
        strip = np.moveaxis(values[..., start : start + self.rows, :], -3, -1)
        return np.ascontiguousarray(strip).reshape(*values.shape[:-3], math.prod(strip.shape[-3:]))

    def block(self, T: Ball, k: int, j: int) -> Ball:
        """The block in rows of strip k and columns of strip j of the matrix with taps T."""
        return Ball(self._spread(T.mid, k, j), self._spread(T.radius(), k, j))

    def _spread(self, T: np.ndarray, k: int, j: int) -> np.ndarray:
        middle = [side // 2 for side in T.shape[:2]]
        rows, columns = (self._rows(strip) for strip in (k, j))
        W, c = self.width, self.channels
        block = np.zeros((len(rows), W, c, len(columns), W, c))
        for r, row in enumerate(rows):
            for s, other in enumerate(columns):
                down = other - row + middle[0]
                if not 0 <= down < T.shape[0]:
                    continue
                for across in range(T.shape[1]):
                    d = across - middle[1]
                    p = np.arange(max(0, -d), min(W, W - d))
                    block[r, p, :, s, p + d, :] = T[down, across]
        return block.reshape(len(rows) * W * c, -1)

    def _rows(self, k: int) -> range:
        return range(self.starts[k], min(self.starts[k] + self.rows, self.height))
