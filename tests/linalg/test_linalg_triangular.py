"""Strictly block lower-triangular matrices against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlip.linalg.triangular import strict_lower_blocks

seeds = st.integers(0, 2**32 - 1)


def fewest_blocks(W):
    """The smallest number of consecutive blocks, by trying every partition."""
    n = W.shape[0]
    best = [0] + [n + 1] * n
    for stop in range(1, n + 1):
        for start in range(stop):
            if not W[start:stop, start:].any():
                best[stop] = min(best[stop], best[start] + 1)
    return best[n]


@given(seeds, st.integers(1, 9), st.floats(0.0, 1.0))
def test_the_blocks_are_valid_and_the_fewest_possible(seed, n, density):
    rng = np.random.default_rng(seed)
    W = np.tril(rng.normal(size=(n, n)), -1) * (rng.random((n, n)) < density)
    blocks = strict_lower_blocks(W)
    assert blocks is not None
    assert [i for B in blocks for i in range(n)[B]] == list(range(n))
    for B in blocks:
        assert not W[B, B.start :].any()
    assert len(blocks) == fewest_blocks(W)


@given(seeds, st.integers(1, 8))
def test_one_nonzero_on_or_above_the_diagonal_is_seen(seed, n):
    rng = np.random.default_rng(seed)
    W = np.tril(rng.normal(size=(n, n)), -1)
    i = rng.integers(n)
    W[i, rng.integers(i, n)] = rng.choice([5e-324, -1e-300, 1.0, np.nan, np.inf])
    assert strict_lower_blocks(W) is None


def test_a_negative_zero_is_a_zero():
    W = np.array([[-0.0, -0.0], [1.0, -0.0]])
    assert strict_lower_blocks(W) == [slice(0, 1), slice(1, 2)]


def test_a_denormal_below_the_diagonal_is_no_zero():
    W = np.zeros((2, 2))
    assert strict_lower_blocks(W) == [slice(0, 2)]
    W[1, 0] = 5e-324
    assert strict_lower_blocks(W) == [slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_memory_layout_does_not_matter(order):
    W = np.asarray(np.tril(np.ones((4, 4)), -1), order=order)
    assert strict_lower_blocks(W) == [slice(i, i + 1) for i in range(4)]


def test_the_layers_of_an_explicit_network_are_its_blocks():
    W = np.zeros((6, 6))
    W[2:4, :2] = 1.0
    W[4:, 2:4] = 1.0
    assert strict_lower_blocks(W) == [slice(0, 2), slice(2, 4), slice(4, 6)]
