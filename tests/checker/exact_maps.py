"""Convolutions in exact arithmetic, and blocks of the library as the checker reads them."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from certlip.checker.blocks import Block

seeds = st.integers(0, 2**32 - 1)
PADDINGS = [True, False]


def F(x):
    return Fraction(float(x))


def exact_map(K, sides, circular, x):
    """K ∗ x of one image in rationals, by its definition."""
    (o, i, kh, kw), (H, W) = K.shape, sides
    a, b = (kh - 1) // 2, (kw - 1) // 2
    x = [[[F(v) for v in row] for row in channel] for channel in x.reshape(i, H, W)]
    y = []
    for k in range(o):
        for p in range(H):
            for q in range(W):
                total = Fraction(0)
                for c in range(i):
                    for s in range(kh):
                        for t in range(kw):
                            r, u = p + s - a, q + t - b
                            if circular or (0 <= r < H and 0 <= u < W):
                                total += F(K[k, c, s, t]) * x[c][r % H][u % W]
                y.append(total)
    return y


def matrix(map_):
    """The dense matrix, column by column."""
    width = map_.K.shape[1] * map_.pixels
    return np.stack([map_(e[None])[0] for e in np.eye(width)], axis=1)


def norm_squared(v):
    return sum(e * e for e in v)


def proven(block, proof):
    """A frozen block of the library as the checker reads and proves it."""
    arrays = {name: tensor.numpy() for name, tensor in block.arrays().items()}
    stored = arrays | {k: v for k, v in proof.items() if isinstance(v, np.ndarray)}
    node = {"kind": block.kind, "meta": block.meta(), "arrays": {name: name for name in arrays}}
    own = Block(node, stored, block.in_width)
    own.prove({k: k if isinstance(v, np.ndarray) else v for k, v in proof.items()}, stored)
    return own
