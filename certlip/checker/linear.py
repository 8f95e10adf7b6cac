"""Linear maps: convolutions with stride 1, of which a matrix is the one with one tap on one pixel."""

from math import isqrt

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from certlip.checker.rigorous import ONE, UNIT, Array, Ball, dot, gamma, over, total


def roots(n: int) -> Array:
    """cos and sin of 2πk/n, (2, n), n < 2⁴⁰, within a relative 2u, and 0 where they are 0.

    In whole numbers of 2⁻²⁰⁰: π, a series for e^{2πi/n}, then its powers. Each step adds less than
    2¹⁰ to the error, 2⁵⁰ in all; the last 60 bits are rounded away: zeros are exact.
    """
    one, parts, pi = 1 << 200, [0, 0], 0x3243F6A8885A308D313198A2E03707344A4093822299F31D008
    angle, term = 2 * pi // n, one
    for j in range(120):
        parts[j % 2] += (1, 1, -1, -1)[j % 4] * term
        term = term * angle // ((j + 1) * one)
    (c, s), powers = parts, [(one, 0)]
    while len(powers) < n:
        x, y = powers[-1]
        powers.append(((x * c - y * s) >> 200, (x * s + y * c) >> 200))
    return np.array([[(part + (1 << 59) >> 60) / 2**140 for part in power] for power in powers]).T


class Linear:
    """(K ∗ x)[p] = Σ_t K[t] x[p + t − a] on images of `sides` pixels, K (o, i, kh, kw), flattened.

    Beyond the image x goes on at the other side if `circular`, or is 0. `room` (a, k − 1 − a)
    per axis is how far K reaches before p and after it.
    """

    def __init__(self, K: Array, sides: tuple = (1, 1), circular: bool = True, room=()):
        self.K = K if K.ndim == 4 else K[..., None, None]
        self.sides, self.circular, self.pixels = sides, circular, sides[0] * sides[1]
        self.room = room or [((k - 1) // 2, k // 2) for k in self.K.shape[2:]]
        self.inner = K[0].size  # products in each sum, which is √k sums of √k, and b is added
        self.gamma = gamma(2 * isqrt(self.inner) + 4)

    def adjoint(self) -> "Linear":
        """Kᵀ ∗: the kernel turned round, and its anchor with it."""
        K = self.K[:, :, ::-1, ::-1].swapaxes(0, 1)
        return Linear(K, self.sides, self.circular, [(after, a) for a, after in self.room])

    def __call__(self, x: Array) -> Array:
        """K ∗ x for rows x, within `error`: a product of copies of x, as √k sums of √k terms."""
        o, i, *taps = self.K.shape
        room, mode = [(0, 0), (0, 0), *self.room], "wrap" if self.circular else "constant"
        image = np.pad(x.reshape(-1, i, *self.sides), room, mode)
        patches = sliding_window_view(image, taps, (2, 3)).transpose(0, 2, 3, 1, 4, 5)
        rows, K = patches.reshape(-1, self.inner), self.K.reshape(o, -1).T
        n, step = self.inner, isqrt(self.inner)
        with np.errstate(all="ignore"):  # a BLAS may raise flags on padding; values decide
            y = np.add.reduce([rows[:, k : k + step] @ K[k : k + step] for k in range(0, n, step)])
        return y.reshape(len(x), self.pixels, o).swapaxes(1, 2).reshape(len(x), -1)

    def error(self, left: Array = ONE, right: Array = ONE) -> float:
        """Bound of ‖left ∘ (v − K ∗ x)‖/‖x/right‖ for the computed v and weights of channels.

        Roundings are relative per entry, so that exact diagonal scalings commute with them.
        """
        A = left[:, None] * total(np.abs(self.K).reshape(*self.K.shape[:2], -1)) * right
        return float(over(self.gamma * Ball(over(A, 4), np.zeros(1)).size(), 1))

    def spectra(self, step: int = 16):
        """Stacks of `step` blocks K̂(f) = Σ_t K[t] e^{2πi f·(t − a)/N} = A + iB as [[A, −B], [B, A]].

        With zeros around the image it is a part of a torus N with room for a kernel, where nothing
        wraps. Half of the frequencies are enough, K̂(−f) is the conjugate.
        """
        o, i, *taps = self.K.shape
        if self.pixels == 1:
            yield Ball(self.K.reshape(1, o, i), np.zeros((1, o, i)))
            return
        room = (0, 0) if self.circular else map(max, self.room)
        height, width = (side + more for side, more in zip(self.sides, room, strict=True))
        t = np.indices(taps).reshape(2, -1) - np.reshape([a for a, _ in self.room], (2, 1))
        f = np.indices((height, width // 2 + 1)).reshape(2, -1, 1)
        turn = (f[0] * t[0] * width + f[1] * t[1] * height) % (height * width)
        table, K = roots(height * width), self.K.reshape(o * i, -1)
        for k in range(0, len(turn), step):
            # the table is off by 2u, which counts as an error of K
            blur, some = over(3 * UNIT * np.abs(K), 1), turn[k : k + step]
            parts = (dot(K, part[some], blur) for part in table)
            (A, r), (B, s) = ([y.T.reshape(-1, o, i) for y in part] for part in parts)
            yield Ball(np.block([[A, -B], [B, A]]), np.block([[r, s], [s, r]]))
