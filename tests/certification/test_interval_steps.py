"""Steps in few passes: strides, paddings and ReLU give the boxes of the plain way."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from certify_nets import exact
from interval_nets import only

from certlip.blocks import Activation, Affine, Network, Sigma
from certlip.blocks.activations import ReLU
from certlip.blocks.strided import convolution_blocks
from certlip.certification.interval import IntervalBounds
from certlip.certification.interval import merge as merge_module
from certlip.certification.interval import network as network_module
from certlip.certification.interval.activation import Activate
from certlip.certification.interval.affine import Matrix
from certlip.certification.interval.box import around, between, ends
from certlip.certification.interval.convolution import Gathered, Spectral, kernel
from certlip.certification.interval.moves import Move
from certlip.linalg.rigorous.ball import Ball

CASES = {
    "plain": (3, 1, 1, "zero"),
    "even": (4, 2, 1, "zero"),
    "no padding": (3, 2, 0, "zero"),
    "wide": (5, 3, 2, "zero"),
    "circular": (3, 2, 1, "circular"),
}


def network(case, seed=0):
    side, stride, padding, mode = CASES[case]
    K = torch.from_numpy(np.random.default_rng(seed).standard_normal((3, 2, side, side)))
    b = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    blocks = convolution_blocks(
        K, b, (6, 6), stride=(stride,) * 2, padding=(padding,) * 4, mode=mode
    )
    return Network(blocks), K, b


@pytest.mark.parametrize("case", CASES)
def test_a_strided_convolution_is_one_step_with_the_box_of_its_definition(case):
    net, K, b = network(case)
    _, stride, padding, mode = CASES[case]
    bounds = IntervalBounds(net)
    [step] = bounds.steps
    assert isinstance(step, Gathered)
    rng = np.random.default_rng(1)
    x, r = rng.standard_normal((5, 72)), rng.uniform(0.0, 1.0, 5)
    box = bounds(around(x, r))

    def plain(v, K, b=None):
        image = torch.from_numpy(v).reshape(-1, 2, 6, 6)
        kind = "circular" if mode == "circular" else "constant"
        image = F.pad(image, (padding,) * 4, mode=kind)
        return F.conv2d(image, K, b, stride=stride).flatten(1).numpy()

    np.testing.assert_allclose(box.mid, plain(x, K, b), rtol=0, atol=1e-12)
    wanted = plain(np.zeros_like(x) + r[:, None], K.abs())
    assert (box.radius() >= wanted * (1.0 - 1e-13)).all()
    np.testing.assert_allclose(box.radius(), wanted, rtol=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_merged_steps_are_the_steps_one_by_one(case, monkeypatch):
    net, *_ = network(case)
    box = around(np.random.default_rng(2).standard_normal((4, 72)), np.full(4, 0.1))
    merged = IntervalBounds(net)(box)
    monkeypatch.setattr(network_module, "merged", lambda steps: steps)
    plain = IntervalBounds(net)(box)
    np.testing.assert_allclose(merged.mid, plain.mid, rtol=0, atol=1e-13)
    np.testing.assert_allclose(merged.radius(), plain.radius(), rtol=1e-12)


def test_moves_that_choose_otherwise_for_every_channel_stay():
    step = kernel(np.ones((2, 1, 1, 1)), 1, 2, "zero")

    def swapped(x):  # the pixels of the second channel change places
        return type("Local", (), {"y": x[:, [0, 1, 3, 2]]})

    assert merge_module.merged([step, Move(swapped, 4)])[0] is step
    twice = Move(lambda x: type("Local", (), {"y": np.pad(x, ((0, 0), (0, 2)))}), 4)
    assert len(merge_module.merged([step, twice])) == 2  # zeros that no kernel reads


@pytest.mark.parametrize("padding", ["zero", "circular"])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_convolution_and_its_adjoint_are_transposed(padding, rows):
    K = np.random.default_rng(0).standard_normal((3, 2, 2, 3))
    there, back = (kernel(K, 4, 5, padding, adjoint=flag) for flag in (False, True))
    x, y = np.random.default_rng(1).standard_normal((rows, 40)), np.ones((rows, 60))
    left = (there(Ball(x)).mid * y).sum(axis=1)
    np.testing.assert_allclose(left, (back(Ball(y)).mid * x).sum(axis=1), atol=1e-11)


def test_large_kernels_on_a_torus_go_by_frequencies():
    K = np.random.default_rng(0).standard_normal((2, 1, 8, 7))
    step = kernel(K, 8, 7, "circular", np.array([1.0, -1.0]))
    assert isinstance(step, Spectral)
    box = around(np.random.default_rng(1).standard_normal((3, 56)), np.array([0.0, 0.5, 2.0]))
    found = step(box)
    reach = np.abs(K).sum(axis=(1, 2, 3)).repeat(56) * box.radius()[:, :1]
    assert (found.radius() >= reach).all()
    np.testing.assert_allclose(found.radius(), reach, atol=1e-10)


@pytest.mark.parametrize("order", ["C", "F", "rows", "columns"])
@pytest.mark.parametrize("onward", [False, True])
def test_relu_gives_the_box_of_its_ends_however_numbers_lie(order, onward):
    rng = np.random.default_rng(0)
    c, r = rng.standard_normal((7, 3000)), rng.uniform(0.0, 1.0, (7, 3000))
    r[:, ::3] = 0.0
    box = Ball(*(np.asarray(a, order="F" if order in ("F", "columns") else "C") for a in (c, r)))
    if order in ("rows", "columns"):
        box, c, r = Ball(box.mid[::2], np.ascontiguousarray(box.rad[::2])), c[::2], r[::2]
    step = Activate(Sigma.of(ReLU(), 3000))
    found = step.onward(Ball(box.mid.copy("K"), box.rad.copy("K"))) if onward else step(box)
    np.testing.assert_array_equal(box.mid, c)
    np.testing.assert_array_equal(box.rad, r)
    low, high = (np.maximum(end, 0.0) for end in (c - r, c + r))
    wanted = between(low, high)
    np.testing.assert_allclose(found.mid, wanted.mid, rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.rad, wanted.rad, rtol=0, atol=1e-14)
    low, high = (exact(end) for end in ends(found))
    true = [np.maximum(exact(c) + s * exact(r), 0) for s in (-1, 1)]
    assert (low <= true[0]).all()
    assert (high >= true[1]).all()


@np.errstate(invalid="ignore")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_stays_none(bad):
    c = np.array([[bad, 1.0]])
    step = Activate(Sigma.of(ReLU(), 2))
    low, high = ends(step.onward(Ball(c, np.array([[0.1, 0.1]]))))
    assert not (low[0, 0] >= 0.0 and high[0, 0] < np.inf)
    assert high[0, 1] >= 1.1
    radius = step(Ball(np.array([[0.0, 1.0]]), np.array([[np.abs(bad), 0.1]])))
    assert not np.isfinite(radius.rad[0, 0])


def test_boxes_that_are_tried_again_are_the_same():
    rng = np.random.default_rng(0)
    net, *_ = network("even")
    last = 27  # 3 channels of 3 × 3 pixels
    W = torch.from_numpy(rng.standard_normal((4, last)))
    net = only(
        *net.blocks,
        Activation(Sigma.of(ReLU(), last)),
        Affine(W, torch.zeros(4, dtype=torch.float64)),
    )
    bounds, x = IntervalBounds(net), rng.standard_normal((50, 72))
    kept, a, start = x.copy(), np.arange(50) % 4, bounds.start(x)
    first = bounds.lower(start, np.full(50, 0.1), a)
    bounds.lower(start, np.full(50, 0.7), a)
    np.testing.assert_array_equal(bounds.lower(start, np.full(50, 0.1), a), first)
    np.testing.assert_array_equal(x, kept)
    alone = np.concatenate(
        [bounds.lower(bounds.start(x[i : i + 1]), np.full(1, 0.1), a[i : i + 1]) for i in range(50)]
    )
    np.testing.assert_allclose(first, alone, rtol=1e-12)


def test_a_weight_that_is_off_is_bounded():
    W = Ball(np.array([[1.0, -2.0]]), np.array([[0.5, 0.0]]))
    box = Matrix(W, np.array([1.0]))(Ball(np.array([[2.0, 1.0]]), np.array([[0.1, 0.2]])))
    # |W|r + rad|c| + rad·r, all of it
    assert box.mid[0, 0] == 1.0
    assert box.rad[0, 0] == pytest.approx(0.1 + 0.4 + 1.0 + 0.05, rel=1e-12)
    assert box.rad[0, 0] >= 0.1 + 0.4 + 1.0 + 0.05
