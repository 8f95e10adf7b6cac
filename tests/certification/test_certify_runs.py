"""Successive blocks that go through together: what each gives alone, and no error is left out."""

import numpy as np
import pytest
from conv_nets import conv_residual, convolution

from certlip.blocks import Network, Pooling
from certlip.certification.enclosure import Encloser
from certlip.certification.enclosure.columns import InColumns, through
from certlip.certification.enclosure.run import Run
from certlip.lmi import prove


@pytest.fixture(scope="module")
def encloser():
    """A convolution, two residual blocks, pooling and a residual block, on images of 6 × 6 pixels."""
    blocks = [
        convolution(0, 3, 2, (3, 3), 6, 6),
        *(conv_residual(seed, c=3, height=6, width=6) for seed in (1, 2)),
        Pooling(3, 6, 6, 2),
        conv_residual(3, c=3, height=3, width=3),
    ]
    network = Network(blocks)
    return Encloser(network, prove(network))


@pytest.fixture
def x(encloser):
    return np.random.default_rng(0).standard_normal((70, encloser.network.in_width))


def test_blocks_on_images_go_through_together(encloser):
    run = Run(range(5), encloser.local, encloser.growth)
    assert [[k for k, _ in stage] for stage in run.stages] == [[0, 1, 2], [3], [4]]


def test_together_they_give_what_each_gives_alone(encloser, x):
    blocks = encloser.local[:3]
    assert all(isinstance(block, InColumns) for block in blocks)
    y, norms, deltas = through(blocks, x)
    v = x
    for k, block in enumerate(blocks):
        own = np.linalg.norm(v, axis=1)
        assert (norms[:, k] >= own).all()
        np.testing.assert_allclose(norms[:, k], own, rtol=1e-12)
        local = block(v)
        np.testing.assert_allclose(deltas[:, k], local.delta, rtol=1e-12)
        v = local.y
    np.testing.assert_allclose(y, v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("off", [0.0, 1e-3])
def test_no_error_on_the_way_is_left_out(encloser, x, off):
    start = np.full(len(x), off)
    whole = Run(range(5), encloser.local, encloser.growth)(x, start, 2.0 * start)
    y, here, logits, norms = x, start, 2.0 * start, []
    for k in range(5):
        norms.append(np.linalg.norm(y, axis=1) + here)
        delta = encloser.local[k](y).delta
        y, here, logits, _ = Run(range(k, k + 1), encloser.local, encloser.growth)(y, here, logits)
        assert (here >= delta).all()
    for found, each in zip(whole, (y, here, logits, np.stack(norms, axis=1)), strict=True):
        np.testing.assert_allclose(found, each, rtol=1e-9, atol=1e-12)
    assert (whole[2] > 2.0 * start).all()
