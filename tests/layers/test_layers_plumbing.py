"""What stands between layers on images, and layers that are refused."""

from __future__ import annotations

import pytest
import torch
from conv_nets import jacobian_norms

from certlip.blocks import Network
from certlip.blocks.activations import ActivationKind, ReLU
from certlip.errors import InputError
from certlip.layers import (
    AOLConv,
    Center,
    ChannelPad,
    CPLConv,
    GroupSort,
    NormalizedHead,
    OrthogonalConv,
    Pool,
    SandwichConv,
    SLLConv,
    ToImages,
    ToVectors,
    Truncate,
)
from certlip.lmi import prove
from certlip.solvers import Evaluator

R = ReLU()


PLUMBING = {
    "channels": (lambda: ChannelPad(2, 5, (4, 6)), (2, 4, 6)),
    "same channels": (lambda: ChannelPad(2, 2, (4, 6)), (2, 4, 6)),
    "pool": (lambda: Pool(2, 2, (4, 6)), (2, 4, 6)),
    "pool all": (lambda: Pool(1, 3, (3, 3)), (1, 3, 3)),
    "maxmin channels": (lambda: GroupSort(4, pixels=6), (4, 2, 3)),
    "groups of three": (lambda: GroupSort(6, 3, pixels=2), (6, 1, 2)),
    "maxmin neurons": (lambda: GroupSort(6), (6,)),
    "all neurons": (lambda: GroupSort(5, 5), (5,)),
    "truncation": (lambda: Truncate(7, 3), (7,)),
    "mean": (lambda: Center([0.5, -1.0], (2, 3)), (2, 2, 3)),
}


@pytest.mark.parametrize("name", PLUMBING)
def test_plumbing_is_its_block_and_one_lipschitz(name):
    build, shape = PLUMBING[name]
    layer = build().double()
    x = torch.randn(5, *shape, dtype=torch.float64)
    network = Network(layer.freeze())
    assert torch.equal(Evaluator(network)(x.flatten(1)), layer(x).flatten(1))
    assert prove(network).lip.value == 1.0
    assert jacobian_norms(layer, x).max() == pytest.approx(1.0, abs=1e-15)


def test_pooling_has_orthonormal_rows():
    layer = Pool(2, 2, (4, 6)).double()
    x = torch.zeros(1, 2, 4, 6, dtype=torch.float64)
    P = torch.autograd.functional.jacobian(layer, x).reshape(-1, x.numel())
    assert torch.equal(P @ P.T, torch.eye(12, dtype=torch.float64))


def test_sorting_by_hand():
    x = torch.tensor([[1.0, 3.0, 2.0, 0.0, 5.0, 5.0]])
    assert GroupSort(6)(x).tolist() == [[3.0, 1.0, 2.0, 0.0, 5.0, 5.0]]
    assert GroupSort(6, 3)(x).tolist() == [[3.0, 2.0, 1.0, 5.0, 5.0, 0.0]]
    pixels = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])  # 2 channels of 1×2 pixels
    assert GroupSort(2, pixels=2)(pixels).tolist() == [[[[3.0, 2.0]], [[1.0, 0.0]]]]


def test_images_and_vectors_only_change_the_shape():
    x = torch.randn(3, 24)
    images = ToImages((3, 4))(x)
    assert images.shape == (3, 2, 3, 4)
    assert torch.equal(ToVectors()(images), x)
    assert [*ToImages((3, 4)).freeze(), *ToVectors().freeze()] == []


# --- bad input


class Steep(ActivationKind):
    name, slopes, relative_error = "steep", (0.0, 1.2), 0.0

    def forward(self, v):
        return 1.2 * v.clamp_min(0.0)

    def derivative(self, v):
        return 1.2 * (v > 0)


MAKERS = {
    "sll": lambda **o: SLLConv(2, 3, **o),
    "cpl": lambda **o: CPLConv(2, 3, **o),
    "aol": lambda **o: AOLConv(2, 3, **o),
    "orthogonal": lambda **o: OrthogonalConv(2, 3, **o),
    "sandwich": lambda **o: SandwichConv(2, 3, 2, **o),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 4}, "kernel of 4×4 taps: expected at most the 3×4 pixels"),
        ({"size": (1, 5)}, "kernel of 1×5 taps"),
        ({"size": 0}, "kernel_height = 0: expected at least 1"),
        ({"size": (1, -1)}, "kernel_width = -1"),
        ({"image": (0, 4)}, "height = 0"),
        ({"activation": Steep()}, r"steep has slopes in \[0.0, 1.2\]: expected \[0, 1\]"),
        ({"activation": torch.nn.ReLU()}, "activation ReLU.*: expected one of certlip"),
    ],
)
@pytest.mark.parametrize("name", MAKERS)
def test_bad_layers_are_refused(name, change, message):
    with pytest.raises(InputError, match=message) as caught:
        MAKERS[name](**{"image": (3, 4)} | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SLLConv(0, 3, (4, 4)), "c = 0"),
        (lambda: CPLConv(2, 0, (4, 4)), "k = 0"),
        (lambda: AOLConv(2, 0, (4, 4)), "q = 0"),
        (lambda: OrthogonalConv(0, 2, (4, 4)), "c = 0"),
        (lambda: SandwichConv(2, 0, 2, (4, 4)), "n = 0"),
        (lambda: SandwichConv(2, 2, 2, (4, 4), lip=0.0), "L = 0.0"),
        (lambda: SandwichConv(2, 2, 2, (4, 4), lip=float("inf")), "L = inf"),
        (lambda: SLLConv(2, 2, (4, 4), padding="reflect"), "padding 'reflect': expected one of"),
        (lambda: ChannelPad(3, 2, (4, 4)), "to 2 channels: expected at least 3"),
        (lambda: ChannelPad(3, 2, (4, 0)), "width = 0"),
        (lambda: Pool(1, 3, (4, 4)), "do not divide"),
        (lambda: Pool(1, 0, (4, 4)), "window = 0"),
        (lambda: GroupSort(5), "do not divide"),
        (lambda: GroupSort(4, 0), "group = 0"),
        (lambda: Truncate(3, 4), "4 classes: expected at most 3"),
        (lambda: Truncate(3, 0), "classes = 0"),
        (lambda: NormalizedHead(3, 0), "classes = 0"),
        (lambda: Center([], (4, 4)), "expected finite numbers"),
        (lambda: Center([0.0, float("nan")], (4, 4)), "expected finite numbers"),
        (lambda: ToImages((0, 4)), "height = 0"),
    ],
)
def test_bad_sizes_are_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()
