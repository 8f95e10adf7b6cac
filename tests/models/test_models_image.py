"""Image classifiers: frozen logits, proven constants, the published sizes, and what they must refuse."""

import pytest
import torch

from certlip.errors import InputError
from certlip.lmi import prove
from certlip.models import MODELS, NAMED, build
from certlip.models.image import ImageClassifier
from certlip.solvers import Evaluator

IMAGE = {"height": 4, "width": 6}
SMALL = {
    "sll-conv": {"channels": 3, "inner": 2, "conv_depth": 2, "hidden": 7, "dense_depth": 1},
    "cpl-conv": {"channels": 2, "inner": 3, "conv_depth": 1, "hidden": 5, "dense_depth": 2},
    "aol-conv": {"channels": 4, "conv_depth": 2, "hidden": 6, "dense_depth": 1},
    "sandwich-conv": {"channels": 3, "inner": 4, "conv_depth": 2, "hidden": 9, "dense_depth": 1},
}
OPTIONS = {
    "plain": {"pool": 2},
    "unpooled": {"pool": 1},
    "even": {"pool": 2, "kernel": 2},
    "centred": {"pool": 2, "mean": [0.25, 0.5]},
    "zero": {"pool": 2, "zero_padding": 1},
    "normalized": {"pool": 2, "normalized_head": 1, "zero_padding": 1},
    "maxmin": {"pool": 2, "maxmin": 1},
}
ONLY = {
    "zero": {"sll-conv", "cpl-conv", "aol-conv"},
    "normalized": {"sll-conv", "cpl-conv"},
    "maxmin": {"aol-conv"},
}
CASES = [(f, o) for f in SMALL for o in OPTIONS if f in ONLY.get(o, SMALL)]


def classifier(family, classes=3, **change):
    torch.manual_seed(0)
    model = MODELS[family](2 * 4 * 6, classes, **{**IMAGE, **SMALL[family], **change}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model


def test_every_image_family_has_a_row():
    image_families = {
        name
        for name, model in MODELS.items()
        if isinstance(model, type) and issubclass(model, ImageClassifier)
    }
    assert set(SMALL) == image_families


@pytest.mark.parametrize(("family", "option"), CASES)
def test_the_frozen_network_is_the_model_and_proven(family, option):
    model = classifier(family, **OPTIONS[option])
    network, x = model.freeze(), torch.rand(16, 48, dtype=torch.float64)
    assert (network.in_width, network.classes) == (48, 3)
    with torch.no_grad():
        assert (Evaluator(network)(x) - model(x)).abs().max() < 1e-7
    bound = 3.0**0.5 if "normalized_head" in OPTIONS[option] else 1.0
    assert prove(network).lip.value <= bound * (1 + 1e-6)


def test_centering_is_part_of_the_network():
    model = classifier("sll-conv", pool=2, mean=[0.25, 0.5])
    other = classifier("sll-conv", pool=2)
    with torch.no_grad():
        for mine, theirs in zip(other.parameters(), model.parameters(), strict=True):
            mine.copy_(theirs)
    x = torch.rand(5, 48, dtype=torch.float64)
    mean = torch.tensor([0.25] * 24 + [0.5] * 24, dtype=torch.float64)
    torch.testing.assert_close(model(x), other(x - mean))


def test_zero_padding_and_circular_padding_are_different_networks():
    x = torch.rand(5, 48, dtype=torch.float64)
    circular, zero = (classifier("sll-conv", pool=2, zero_padding=flag)(x) for flag in (0, 1))
    assert (circular - zero).abs().max() > 1e-3


def test_float32_training_still_freezes_to_a_proven_network():
    model = classifier("sll-conv", pool=2, zero_padding=1).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    x, label = torch.rand(32, 48), torch.randint(0, 3, (32,))
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(5.0 * model(x), label)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    network = model.freeze()
    assert prove(network).lip.value == 1.0
    y = Evaluator(network)(x.double()).float()
    torch.testing.assert_close(y, model(x), rtol=1e-4, atol=1e-4)


# --- the published networks

#: name → conv layers, dense layers, channels, coordinates after pooling, published size in millions
PUBLISHED = {
    "araujo2023-small": (20, 7, 45, 2880, 41),
    "araujo2023-medium": (30, 10, 60, 3840, 78),
    "araujo2023-large": (50, 10, 90, 5760, 118),
    "araujo2023-xlarge": (70, 15, 120, 7680, 236),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_networks_of_araujo_et_al_have_their_published_sizes(name):
    convs, dense, channels, features, millions = PUBLISHED[name]
    with torch.device("meta"):  # shapes only: the largest would need a gigabyte
        model = NAMED[name](3 * 32 * 32, 10, height=32, width=32)
        y = model(torch.empty(2, 3 * 32 * 32))
    assert y.shape == (2, 10)
    shapes = [tuple(p.shape) for p in model.parameters()]
    assert shapes.count((5, channels, 3, 3)) == convs
    assert shapes.count((features, 2048)) == dense
    assert (10, features) in shapes
    assert sum(p.numel() for p in model.parameters()) // 10**6 == millions


def test_the_networks_of_winston_and_kolter_have_about_their_published_sizes():
    with torch.device("meta"):
        conv = build("winston2020-conv", (3, 32, 32), 10)
    shapes = [tuple(p.shape) for p in conv.parameters()]
    assert shapes.count((81, 81, 3, 3)) == 2
    assert (10, 81 * 8 * 8) in shapes
    assert sum(p.numel() for p in conv.parameters()) // 1000 == 172
    dense = build("winston2020-fc", (1, 28, 28), 10)
    assert [tuple(p.shape) for p in dense.parameters()].count((87, 87)) == 2


def test_the_network_of_havens_et_al():
    torch.manual_seed(0)
    model = NAMED["havens2023-sll"](3 * 32 * 32, 10, height=32, width=32)
    shapes = [tuple(p.shape) for p in model.parameters()]
    assert shapes.count((5, 8, 3, 3)) == 4
    assert shapes.count((512, 512)) == 2
    network, x = model.freeze(), torch.rand(2, 3 * 32 * 32)
    kinds = ["resize", *["conv-residual"] * 4, "pooling", *["residual"] * 2, "resize"]
    assert [block.kind for block in network.blocks] == kinds
    assert {b.padding for b in network.blocks if b.kind == "conv-residual"} == {"circular"}
    assert network.blocks[6].in_width == 512
    assert (Evaluator(network)(x.double()) - model(x)).abs().max() < 1e-5
    wide = NAMED["havens2023-sll"](3 * 32 * 32, 10, height=32, width=32, inner=8)
    assert [tuple(p.shape) for p in wide.parameters()].count((8, 8, 3, 3)) == 4


#: sizes in place of the published ones
EXPLICIT = {"channels": 3, "conv_depth": 2, "hidden": 6, "dense_depth": 1}
IMPLICIT = {"winston2020-fc": {"hidden": 6}, "winston2020-conv": {"channels": 3}}


@pytest.mark.parametrize("name", NAMED)
def test_named_networks_on_small_images_are_proven(name):
    model = build(name, (2, 8, 4), 3, **IMPLICIT.get(name, EXPLICIT)).double()
    network, x = model.freeze(), torch.rand(4, 64, dtype=torch.float64)
    with torch.no_grad():
        assert (Evaluator(network)(x) - model(x)).abs().max() < 1e-7
    normalized = name.startswith("araujo")
    assert prove(network).lip.value <= (3.0**0.5 if normalized else 1.0) * (1 + 1e-6)
    padding = {b.padding for b in network.blocks if b.kind == "conv-residual"}
    assert padding == (set() if name in IMPLICIT else {"zero" if normalized else "circular"})


# --- sizes that do not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 5}, "48 inputs on images of 5×6 pixels: expected a multiple of 30"),
        ({"height": 0}, "height = 0"),
        ({"channels": 0}, "channels = 0|q = 0"),
        ({"conv_depth": 0}, "conv_depth = 0"),
        ({"dense_depth": 0}, "dense_depth = 0"),
        ({"hidden": 0}, "= 0: expected at least 1"),
        ({"pool": 0}, "pool = 0"),
        ({"pool": 3}, "do not divide"),
        ({"kernel": 5}, "kernel of 5×5 taps"),
        ({"mean": [0.5]}, "mean of 1 channels: expected one number for each of 2"),
        ({"classes": 0}, "= 0: expected at least 1"),
    ],
)
@pytest.mark.parametrize("family", SMALL)
def test_sizes_that_do_not_fit_are_refused(family, change, message):
    with pytest.raises(InputError, match=message) as caught:
        classifier(family, **{"pool": 2} | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("sll-conv", {"channels": 1}, "to 1 channels: expected at least 2"),
        ("sll-conv", {"zero_padding": 2}, "zero_padding = 2: expected 0 or 1"),
        ("cpl-conv", {"normalized_head": -1}, "normalized_head = -1: expected 0 or 1"),
        ("aol-conv", {"maxmin": 3}, "maxmin = 3: expected 0 or 1"),
        ("aol-conv", {"maxmin": 1, "channels": 3}, "do not divide"),
        ("sll-conv", {"classes": 19}, "19 classes: expected at most 18"),
    ],
)
def test_options_that_do_not_fit_are_refused(family, change, message):
    with pytest.raises(InputError, match=message):
        classifier(family, **{"pool": 2} | change)
