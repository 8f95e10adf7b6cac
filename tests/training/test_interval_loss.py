"""The loss of worst margins: its schedules, its closed forms, and training that makes boxes small."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from certlip import data
from certlip.blocks import load
from certlip.errors import InputError
from certlip.layers.boxed.units import Unit
from certlip.models import BOXED, build
from certlip.training import Settings, load_recipe, recipe_for, train
from certlip.training.interval import IntervalCrossEntropy
from certlip.training.interval.loss import SMALLEST
from certlip.training.interval.warmup import balance, tightness


def model(family="cerdeq", seed=0, norm=0):
    torch.manual_seed(seed)
    return build(family, (1, 8, 8), 4, channels=2, hidden=6, norm=norm).double()


def units(own):
    """The layers before the head, in order."""
    return [layer for layer in own.modules() if isinstance(layer, Unit) and layer.relu]


def batch(n=8):
    torch.manual_seed(1)
    return torch.rand(n, 64, dtype=torch.float64), torch.arange(n) % 4


PLAIN = IntervalCrossEntropy(eps=0.1, kappa=0.25, start=0.2, end=0.6, tightness=0.0)


@pytest.mark.parametrize(
    ("share", "grown"), [(0.0, 0.0), (0.2, 0.0), (0.3, 0.25), (0.6, 1.0), (0.99, 1.0)]
)
def test_eps_and_kappa_follow_the_share_of_training(share, grown):
    own, (x, label) = model(), batch()
    found = own.bounds(x, 0.1 * max(grown, SMALLEST), label)
    kappa = 1.0 - 0.75 * grown
    wanted = kappa * F.cross_entropy(own(x), label)
    wanted = wanted + (1.0 - kappa) * F.cross_entropy(-found.lower, label)
    torch.testing.assert_close(PLAIN(own, x, label, share), wanted)


def test_without_boxes_it_is_the_cross_entropy():
    own, (x, label) = model(), batch()
    natural = F.cross_entropy(own(x), label)
    torch.testing.assert_close(PLAIN(own, x, label, 0.0), natural)


def test_the_worst_margins_are_no_better_than_those_of_attacked_points():
    own, (x, label) = model("cnn7"), batch()
    robust = dataclasses.replace(PLAIN, kappa=0.0)
    worst = float(robust(own, x, label, 1.0).detach())
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        sign = torch.rand(x.shape, generator=generator, dtype=torch.float64).sub(0.5).sign()
        moved = F.cross_entropy(own(x + 0.1 * sign), label)
        assert float(moved.detach()) <= worst + 1e-9


def test_tightness_counts_layers_whose_boxes_grow():
    widths = tuple(torch.tensor(w) for w in (1.0, 1.0, 2.0, 4.0))
    # w₀/w = 1, 1/2, 1/4 against 1/2
    assert float(tightness(widths, 0.5)) == pytest.approx((0.25 / 0.5) / 3)
    dead = tuple(torch.tensor(w) for w in (1.0, 0.0, 0.0))
    assert float(tightness(dead, 0.5)) == 0.0


def test_balance_weighs_what_is_on_against_what_is_off():
    c = torch.tensor([[3.0, 1.0], [-1.0, 0.5]])
    r = torch.tensor([[0.5, 0.5]])  # the last entry is neither
    # sums 4 and 1; the mean is 7/8: squares 4.515625 + 0.015625 and 3.515625
    first, second = 1 / 4, 3.515625 / 4.53125
    assert float(balance([(c, r)], 1.0)) == pytest.approx((2 - first - second) / 2)
    assert float(balance([(c, r)], 0.5)) == pytest.approx((0.5 - first) / 0.5 / 2)
    assert float(balance([(-c, r)], 1.0)) == float(balance([(c, r)], 1.0))
    even = torch.tensor([[1.0, -1.0]])
    assert float(balance([(even, 0.0 * even)], 0.5)) == 0.0
    assert float(balance([(even, 0.0 * even), (c, r)], 1.0)) == pytest.approx(
        (2 - first - second) / 4
    )
    for alone in (even.abs(), -even.abs(), 0.0 * even):
        assert float(balance([(alone, torch.full_like(alone, 0.5))], 0.5)) == 1.0


def test_the_balance_of_a_model_is_that_of_what_goes_into_its_relus():
    own, (x, label) = model("cnn7"), batch()
    found = own.bounds(x, 0.05, label, inner=True)
    assert len(found.inner) == 6
    assert own.bounds(x, 0.05, label).inner is None
    assert len(model().bounds(x, 0.05, label, inner=True).inner) == 2
    first = units(own)[0]
    c, r = found.inner[0]
    images = x.unflatten(1, (1, 8, 8))
    torch.testing.assert_close(c, F.conv2d(images, first.weight, first.bias, padding=1))
    eps = torch.full_like(images[:1], 0.05)
    torch.testing.assert_close(r, F.conv2d(eps, first.weight.abs(), padding=1))


def test_balance_is_weighed_with_what_is_left_of_the_growth_and_has_gradients():
    own, (x, label) = model("cnn7"), batch()
    with torch.no_grad():
        for layer in units(own):
            layer.bias.sub_(0.3)  # few are on
    penalized = dataclasses.replace(PLAIN, balance=2.0)
    found = own.bounds(x, 0.05, label, inner=True)
    penalty = balance(found.inner, 0.5)
    assert float(penalty.detach()) > 0.5
    gap = penalized(own, x, label, 0.4) - PLAIN(own, x, label, 0.4)
    torch.testing.assert_close(gap, 0.5 * 2.0 * penalty)
    assert torch.equal(penalized(own, x, label, 0.6), PLAIN(own, x, label, 0.6))
    penalty.backward()
    slopes = torch.cat([layer.bias.grad.flatten() for layer in units(own)])
    assert torch.isfinite(slopes).all()
    assert slopes.abs().max() > 0.0
    with torch.no_grad():
        for layer in units(own):
            layer.bias.sub_(1e-3 * layer.bias.grad)
    lower = balance(own.bounds(x, 0.05, label, inner=True).inner, 0.5)
    assert float(lower.detach()) < float(penalty.detach())


def test_it_is_the_mean_of_its_parts():
    own, (x, label) = model(), batch()
    whole = PLAIN(own, x, label, 0.5)
    parts = [PLAIN(own, x[i : i + 4], label[i : i + 4], 0.5) for i in (0, 4)]
    torch.testing.assert_close(sum(parts) / 2, whole)


@pytest.mark.parametrize(
    "change",
    [
        {"eps": 0.0},
        {"eps": -0.1},
        {"eps": float("nan")},
        {"kappa": 1.5},
        {"kappa": -0.5},
        {"start": 0.5, "end": 0.5},
        {"end": 1.5},
        {"start": -0.1},
        {"tightness": -1.0},
        {"balance": -1.0},
        {"tolerance": 0.0},
        {"tolerance": 2.0},
    ],
)
def test_options_that_are_none(change):
    with pytest.raises(InputError):
        dataclasses.replace(PLAIN, **change)


def test_a_model_without_boxes_is_refused():
    with pytest.raises(InputError, match="Linear has no boxes"):
        PLAIN(torch.nn.Linear(64, 4), *batch(), 0.5)


def test_training_with_boxes_certifies_what_training_without_does_not(tmp_path):
    parts = [data.load("digits", split=name, limit=800) for name in ("train", "validation")]
    settings = Settings(
        epochs=8,
        batch_size=32,
        betas=(0.9, 0.999),
        clip=5.0,
        loss=IntervalCrossEntropy(eps=0.02, start=0.0, end=0.5),
        norm="linf",
        eps="0.02",
        validate_every=8,
        checkpoint_every=8,
    )
    plain = settings.with_options(loss=IntervalCrossEntropy(eps=1e-6, kappa=1.0), epochs=2)
    shares = {}
    for name, own in (("boxes", settings), ("plain", plain)):
        sizes = {"channels": 8, "hidden": 32, "norm": 1}
        network = train("cerdeq", sizes, *parts, own, tmp_path / name)
        assert network.sha256() == load(tmp_path / name / "model.pt").sha256()
        row = json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[-1])
        assert row["natural"] > 0.75
        shares[name] = row["certified"]["0.02"]
    assert shares["boxes"] > 0.5
    assert shares["plain"] < 0.1


def test_every_family_with_boxes_starts_from_a_recipe():
    for family in BOXED:
        recipe = recipe_for(family)
        assert recipe.family == family
        assert recipe.train.loss.name == "interval"
        assert recipe.train.norm == "linf"
    assert load_recipe("mnist-cerdeq").train.loss == IntervalCrossEntropy(
        eps=0.1, start=0.02, end=0.5
    )
    assert np.isfinite(load_recipe("mnist-cerdeq").train.lr)
