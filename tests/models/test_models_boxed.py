"""Models for training with boxes: one function in training, evaluation and frozen, and boxes that hold
it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from certlip.certification.interval import IntervalBounds
from certlip.models import BOXED, build
from certlip.solvers import Evaluator

FAMILIES = list(BOXED)


def trained(family, norm, seed=0):
    """A model of 2 × 6 × 8 images in evaluation, whose normalisation has seen batches."""
    torch.manual_seed(seed)
    options = {"zero_padding": 1} if family == "cerdeq-conv" and norm else {}
    model = build(family, (2, 6, 8), 3, channels=2, hidden=5, norm=norm, **options).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
        for _ in range(20):
            model(torch.rand(16, 96, dtype=torch.float64))
    return model.eval()


@pytest.mark.parametrize("norm", [0, 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_frozen_network_is_the_model_in_evaluation(family, norm):
    model = trained(family, norm)
    x = torch.rand(9, 96, dtype=torch.float64)
    with torch.no_grad():
        gap = Evaluator(model.freeze())(x) - model(x)
    assert gap.abs().max() < 1e-7


@pytest.mark.parametrize("norm", [0, 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_margins_in_training_hold_attacked_points_and_are_those_of_the_proof(family, norm):
    model = trained(family, norm)
    x, eps = torch.rand(8, 96, dtype=torch.float64), 0.05
    with torch.no_grad():
        label = model(x).argmax(dim=1)
        found = model.bounds(x, eps, label)
        torch.testing.assert_close(found.logits, model(x))
        assert not found.lower[torch.arange(8), label].any()
        for _ in range(20):
            y = model(x + eps * (2.0 * torch.rand_like(x) - 1.0).sign())
            assert (y.gather(1, label[:, None]) - y >= found.lower - 1e-7).all()
    bounds = IntervalBounds(model.freeze())
    proven = bounds.lower(bounds.start(x.numpy()), np.full(8, eps), label.numpy())
    others = np.isfinite(proven)
    ours = found.lower.numpy()
    assert (proven[others] >= ours[others] - 1e-6).all()
    assert np.median(proven[others] - ours[others]) < 0.3 * np.abs(ours[others]).mean()


@pytest.mark.parametrize("family", FAMILIES)
def test_batch_statistics_are_those_of_the_points(family):
    """In training, boxes of radius 0 give the margins of the points, with the same normalisation."""
    model = trained(family, 1).train()
    x, label = torch.rand(8, 96, dtype=torch.float64), torch.arange(8) % 3
    with torch.no_grad():
        y, found = model(x), model.bounds(x, 0.0, label)
    torch.testing.assert_close(found.logits, y, rtol=1e-8, atol=1e-8)
    margins = y.gather(1, label[:, None]) - y
    torch.testing.assert_close(found.lower, margins, rtol=1e-6, atol=1e-6)


def test_every_family_is_documented():
    text = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text("utf-8")
    assert all(f"`{family}`" in text for family in BOXED)


def test_widths_are_measured_layer_by_layer():
    model = trained("cnn7", 0)
    with torch.no_grad():
        found = model.bounds(torch.rand(4, 96, dtype=torch.float64), 0.1, torch.zeros(4).long())
    widths = found.widths
    assert len(widths) == 7
    assert float(widths[0]) == pytest.approx(0.1)
    assert all(float(w) > 0.0 for w in widths)
