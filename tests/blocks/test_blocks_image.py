"""Blocks on images: what they refuse, their shapes, and how they describe themselves."""

import numpy as np
import pytest
import torch

from certlip.blocks import (
    ConvEquilibrium,
    Convolution,
    ConvResidual,
    GroupSort,
    Pooling,
    Resize,
    Sigma,
)
from certlip.blocks.activations import activation
from certlip.blocks.image import channel_sigma, pixel_sigma
from certlip.errors import InputError
from certlip.linalg.torus import Torus

RELU, TANH = activation("relu"), activation("tanh")


def t(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def relu(n):
    return Sigma.of(RELU, n)


def convolution(K=(3, 2, 2, 2), height=3, width=4, padding="zero", b=3):
    return Convolution(t(*K), t(b), height, width, padding)


def conv_residual(K=(3, 2, 2, 2), height=3, width=4, padding="zero", D=3, b=3, sigma=None):
    sigma = relu(36) if sigma is None else sigma
    return ConvResidual(t(*K), t(D).abs(), t(b), sigma, height, width, padding)


def conv_equilibrium(
    W=(3, 3, 2, 2), U=(3, 2, 1, 1), G=(5, 3, 1, 2), b=(3, 5), sigma=None, height=3, width=4
):
    sigma = relu(36) if sigma is None else sigma
    return ConvEquilibrium(t(*W), t(*U), t(*G), t(b[0]), t(b[1]), sigma, height, width)


def pooling(channels=2, height=6, width=6, window=3):
    return Pooling(channels, height, width, window)


def resize(d=3, q=6):
    return Resize(d, q)


def group_sort(d=9, group=3, stride=3):
    return GroupSort(d, group, stride)


WHOLE = "expected a whole number ≥ 1"
NO_COUNTS = {
    "text": "3",
    "true": True,
    "zero": 0,
    "negative": -3,
    "a float": 3.0,
    "None": None,
    "NumPy": np.int64(3),
    "a tensor": torch.tensor(3),
}
SIDES = {
    "convolution": (convolution, ("height", "width")),
    "conv-residual": (conv_residual, ("height", "width")),
    "conv-equilibrium": (conv_equilibrium, ("height", "width")),
    "pooling": (pooling, ("channels", "height", "width", "window")),
    "resize": (resize, ("d", "q")),
    "group-sort": (group_sort, ("d", "group", "stride")),
}
COUNTS = [(kind, name) for kind, (_, names) in SIDES.items() for name in names]


@pytest.mark.parametrize("bad", NO_COUNTS)
@pytest.mark.parametrize(("kind", "name"), COUNTS)
def test_what_is_no_count_is_refused_by_name(kind, name, bad):
    value = NO_COUNTS[bad]
    with pytest.raises(InputError) as caught:
        SIDES[kind][0](**{name: value})
    assert str(caught.value) == f"{kind} block: {name} = {value!r}: {WHOLE}"


@pytest.mark.parametrize("make", [convolution, conv_residual])
@pytest.mark.parametrize("padding", ["reflect", "", "Zero", None, 0, ["zero"], {"zero": 1}])
def test_an_unknown_padding_is_refused(make, padding):
    with pytest.raises(InputError, match=r"block: padding .*: expected one of \('circular', 'zero"):
        make(padding=padding)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: convolution(K=(3, 2, 4, 1)), "kernel K of 4×1 taps is larger .* of 3×4 pixels"),
        (lambda: convolution(K=(3, 2, 1, 5)), "kernel K of 1×5 taps is larger .* of 3×4 pixels"),
        (lambda: conv_residual(K=(3, 2, 4, 1)), "conv-residual block: kernel K of 4×1 taps"),
        (lambda: conv_equilibrium(W=(3, 3, 4, 1)), "kernel W of 4×1"),
        (lambda: conv_equilibrium(U=(3, 2, 1, 5)), "kernel U of 1×5"),
        (lambda: conv_equilibrium(G=(5, 3, 4, 5)), "kernel G of 4×5"),
        (lambda: convolution(K=(3, 2, 2)), "K has shape .*: expected 4 nonempty axes"),
        (lambda: convolution(K=(3, 2, 0, 2)), "K has shape .*: expected 4 nonempty axes"),
        (lambda: convolution(b=2), r"b has shape \(2,\): expected \(3,\) .*output channel"),
        (lambda: conv_residual(D=2), r"D has shape \(2,\): expected \(3,\)"),
        (lambda: conv_residual(b=36), r"b has shape \(36,\): expected \(3,\)"),
        (lambda: ConvResidual(t(1, 1, 1, 1), -t(1).abs(), t(1), relu(4), 2, 2, "zero"), "D.0. = -"),
        (lambda: conv_residual(sigma=relu(24)), "σ has 24 coordinates: expected 36"),
        (lambda: conv_residual(sigma=relu(3)), "relu×3: expected whole channels of 12 pixels"),
        (lambda: conv_residual(sigma="relu"), "conv-residual block: sigma is a str"),
        (lambda: conv_residual(sigma=Sigma(())), "σ has no coordinates"),
        (lambda: conv_equilibrium(W=(3, 2, 1, 1)), "W has shape .*: expected .*square"),
        (lambda: conv_equilibrium(U=(2, 2, 1, 1)), "U has shape .*: expected .*W has 3 rows"),
        (lambda: conv_equilibrium(G=(5, 2, 1, 1)), "G has shape .*: expected .*W has 3 rows"),
        (lambda: conv_equilibrium(b=(2, 5)), r"b_z has shape \(2,\): expected \(3,\)"),
        (lambda: conv_equilibrium(b=(3, 3)), r"b_y has shape \(3,\): expected \(5,\)"),
        (lambda: conv_equilibrium(sigma=relu(48)), "σ has 48 coordinates: expected 36"),
        (lambda: conv_equilibrium(sigma="relu"), "conv-equilibrium block: sigma is a str"),
        (lambda: Pooling(2, 4, 6, 4), "windows of 4 do not divide an image of 4×6 pixels"),
        (lambda: Pooling(2, 6, 4, 4), "windows of 4 do not divide an image of 6×4 pixels"),
        (lambda: Pooling(2, 2, 2, 4), "windows of 4 do not divide an image of 2×2 pixels"),
        (lambda: GroupSort(8, 3, 1), "groups of 3 with stride 1 do not divide 8 coordinates"),
        (lambda: GroupSort(8, 2, 3), "groups of 2 with stride 3 do not divide 8 coordinates"),
        (lambda: GroupSort(8, 4, 4), "groups of 4 with stride 4 do not divide 8 coordinates"),
    ],
)
def test_what_does_not_fit_is_refused(make, match):
    with pytest.raises(InputError, match=match):
        make()


@pytest.mark.parametrize("make", [conv_residual, conv_equilibrium])
@pytest.mark.parametrize("cut", [1, 11, 13, 18, 35])
def test_an_activation_that_ends_inside_of_a_channel_is_refused(make, cut):
    """Three channels of 12 pixels: the border of two kinds may stand at 12 and 24 only."""
    with pytest.raises(InputError, match=r"block: .*: expected whole channels of 12 pixels"):
        make(sigma=Sigma(((TANH, cut), (RELU, 36 - cut))))


@pytest.mark.parametrize("make", [conv_residual, conv_equilibrium])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_activation_may_change_between_channels(make, channels):
    sigma = Sigma(((TANH, 5), (TANH, 12 * channels - 5), (RELU, 36 - 12 * channels)))
    block = make(sigma=sigma)
    per_channel = channel_sigma(block.sigma, block.pixels)
    assert per_channel.segments == ((TANH, channels), (RELU, 3 - channels))
    assert pixel_sigma(per_channel, block.pixels) == block.sigma


def test_a_kernel_may_be_as_large_as_the_image():
    assert convolution(K=(3, 2, 3, 4)).K.shape == (3, 2, 3, 4)
    assert conv_equilibrium(W=(3, 3, 3, 4)).W.shape == (3, 3, 3, 4)


def test_widths_count_all_pixels_of_all_channels():
    widths = {
        convolution(): (24, 36),
        conv_residual(): (24, 24),
        conv_equilibrium(): (24, 60),
        Pooling(2, 4, 6, 2): (48, 12),
        Pooling(2, 4, 6, 1): (48, 48),
        Resize(5, 3): (5, 3),
        Resize(3, 5): (3, 5),
        GroupSort(12, 2, 3): (12, 12),
    }
    for block, expected in widths.items():
        assert (block.in_width, block.out_width) == expected
    assert conv_equilibrium().n == 3
    assert convolution().torus == Torus(3, 4)


def test_descriptions_tell_channels_and_sizes():
    assert convolution().describe() == "2 → 3 channels, 3×4, 2×2 zero"
    assert conv_residual().describe() == "2 channels, 3×4, 3 inner, 2×2 zero, relu×3"
    assert conv_equilibrium().describe() == "2 → 5 channels, 3×4, n = 3 channels, relu×3"
    assert Pooling(2, 4, 6, 2).describe() == "2 channels, 4×6, windows of 2"
    assert GroupSort(12, 2, 3).describe() == "12, groups of 2"
    assert Resize(5, 3).describe() == "5 → 3"
