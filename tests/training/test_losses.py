"""Losses, schedules, and the tables that they are made from: closed forms, and one row per kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from certlip.errors import InputError
from certlip.training.losses import LOSSES, LogitLoss
from certlip.training.losses.cross_entropy import CrossEntropy
from certlip.training.losses.multi_margin import MultiMargin
from certlip.training.schedules import SCHEDULES
from certlip.training.schedules.constant import Constant
from certlip.training.schedules.cosine import Cosine
from certlip.training.schedules.knee import Knee
from certlip.training.schedules.triangular import Triangular
from certlip.training.tables import as_table, from_table

LOSS_ROWS = {"cross-entropy": CrossEntropy(0.7, 0.2), "multi-margin": MultiMargin(0.9)}
SCHEDULE_ROWS = {
    "triangular": Triangular(0.25),
    "knee": Knee(),
    "cosine": Cosine(),
    "constant": Constant(),
}


def test_every_kind_has_a_row():
    of_logits = {name: kind for name, kind in LOSSES.items() if issubclass(kind, LogitLoss)}
    assert {name: type(row) for name, row in LOSS_ROWS.items()} == of_logits
    assert {name: type(row) for name, row in SCHEDULE_ROWS.items()} == SCHEDULES


def test_cross_entropy_of_the_shifted_logits():
    logits, label = torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([1])
    p = np.exp(np.array([1.0, 2.0 - 0.7, 0.5]) / 0.2)
    expected = -0.2 * np.log(p[1] / p.sum())
    assert float(CrossEntropy(0.7, 0.2).of_logits(logits, label)) == pytest.approx(
        expected, rel=1e-6
    )


def test_multi_margin_is_zero_where_every_margin_is_reached():
    logits = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.5, 0.0]])
    loss = MultiMargin(1.0)
    assert float(loss.of_logits(logits[:1], torch.tensor([0]))) == 0.0
    assert float(loss.of_logits(logits, torch.tensor([0, 0]))) == pytest.approx(0.5 / 3 / 2)
    assert float(loss.of_logits(logits[:1], torch.tensor([1]))) == pytest.approx(2.0 / 3)


@pytest.mark.parametrize("name", LOSS_ROWS)
@given(cut=st.integers(1, 6), share=st.floats(0.0, 0.99))
def test_a_loss_is_a_mean_over_samples(name, cut, share):
    loss, generator = LOSS_ROWS[name], torch.Generator().manual_seed(0)
    x = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    label, model = torch.tensor([0, 1, 2, 3, 0, 1, 2]), torch.nn.Identity()
    parts = [loss(model, x[p], label[p], share) * len(x[p]) for p in (slice(cut), slice(cut, 7))]
    assert float(loss(model, x, label, share)) == pytest.approx(float(parts[0] + parts[1]) / 7)


def test_shapes_of_the_schedules():
    assert [Triangular(0.4)(s) for s in (0.0, 0.2, 0.4, 0.7, 1.0)] == pytest.approx(
        [0.0, 0.5, 1.0, 0.5, 0.0]
    )
    assert [Knee()(s) for s in (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)] == pytest.approx(
        [0.0, 0.5, 1.0, 0.525, 0.05, 0.025, 0.0]
    )
    assert [Cosine()(s) for s in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    assert Constant()(0.3) == 1.0


@pytest.mark.parametrize("name", SCHEDULE_ROWS)
@given(share=st.floats(0.0, 1.0))
def test_a_schedule_is_a_factor(name, share):
    assert 0.0 <= SCHEDULE_ROWS[name](share) <= 1.0


def test_tables_and_back():
    for registry, rows in ((LOSSES, LOSS_ROWS), (SCHEDULES, SCHEDULE_ROWS)):
        for row in rows.values():
            assert from_table("it", registry, as_table(row)) == row
    assert from_table("loss", LOSSES, {"name": "cross-entropy"}) == CrossEntropy()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "loss None: there is none; expected one of cross-entropy"),
        ({"name": "cross-entropie"}, "did you mean 'cross-entropy'"),
        ({"name": "multi-margin", "offset": 1.0}, "unknown option 'offset'; expected margin"),
        ({"name": "cross-entropy", "offset": -0.1}, "offset = -0.1: expected a number ≥ 0"),
        ({"name": "cross-entropy", "temperature": 0.0}, "temperature = 0.0: expected a number > 0"),
        ({"name": "cross-entropy", "offset": math.inf}, "offset = inf"),
        ({"name": "multi-margin", "margin": math.nan}, "margin = nan"),
        ({"name": "multi-margin", "margin": "much"}, "margin = 'much'"),
    ],
)
def test_tables_that_describe_nothing(table, said):
    with pytest.raises(InputError, match=said):
        from_table("loss", LOSSES, table)


def test_a_peak_outside_is_refused():
    for peak in (0.0, 1.0, math.nan):
        with pytest.raises(InputError, match="peak ="):
            Triangular(peak)
