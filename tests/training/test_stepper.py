"""One step: parts of a batch, clipping, the average, the penalty on kernels, the clock."""

from __future__ import annotations

import pytest
import torch

from certlip import data
from certlip.errors import InputError
from certlip.reparam import reparametrize
from certlip.training import Settings, finetune, train
from certlip.training.average import Average
from certlip.training.batches import Batches
from certlip.training.clock import Clock
from certlip.training.group import Group
from certlip.training.penalty import KernelPenalty
from certlip.training.schedules.constant import Constant
from certlip.training.stepper import Stepper

SIZES = {"channels": 4, "pool": 4, "inner": 3, "conv_depth": 2, "hidden": 12, "dense_depth": 1}


@pytest.fixture(scope="module")
def splits():
    return [data.load("digits", split=name).first(60) for name in ("train", "validation")]


def stepper(dataset, penalty=None, **options):
    settings = Settings(batch_size=25, schedule=Constant()).with_options(**options)
    torch.manual_seed(3)
    module = torch.nn.Linear(64, 10, dtype=torch.float64)
    batches = Batches(dataset, settings, torch.float64, "cpu")
    return Stepper(module, batches, settings, Group(), penalty)


def moved(some):
    return torch.cat([p.detach().flatten() for p in some.module.parameters()])


def test_a_batch_in_parts_is_the_batch(splits):
    whole, parts = stepper(splits[0]), stepper(splits[0], accumulate=4)
    for step in range(3):  # the last has 10 rows, cut into 3, 3, 3, 1
        a, b = whole.step(0, step), parts.step(0, step)
        assert float(a[0]) == pytest.approx(float(b[0]), rel=1e-12)
    torch.testing.assert_close(moved(whole), moved(parts), rtol=1e-6, atol=1e-9)


def test_more_parts_than_samples(splits):
    few = stepper(splits[0].first(3), accumulate=7)
    assert float(few.step(0, 0)[0]) > 0.0


def test_a_gradient_is_clipped_by_its_norm(splits):
    for clip in (0.0, 1e-3):
        some = stepper(splits[0], clip=clip)
        some.step(0, 0)
        norm = torch.cat([p.grad.flatten() for p in some.module.parameters()]).norm()
        assert float(norm) == pytest.approx(1e-3, rel=1e-3) if clip else float(norm) > 0.1


def test_the_schedule_and_the_loss_know_how_far_the_training_is(splits):
    seen = []
    some = stepper(splits[0], epochs=2, lr=0.5)
    object.__setattr__(some.settings, "schedule", lambda share: seen.append(share) or 0.25)
    for epoch in range(2):
        for step in range(3):
            some.step(epoch, step)
    assert seen == pytest.approx([k / 6 for k in range(1, 7)])
    assert some.optimizer.param_groups[0]["lr"] == 0.125


def test_a_penalty_is_part_of_loss_and_gradient(splits):
    plain = stepper(splits[0])
    weight = plain.module.weight
    other = stepper(splits[0], penalty=lambda: 2.0 * other.module.weight.abs().sum())
    difference = float(other.step(0, 0)[0]) - float(plain.step(0, 0)[0])
    torch.manual_seed(3)
    start = torch.nn.Linear(64, 10, dtype=torch.float64).weight
    assert difference == pytest.approx(2.0 * float(start.abs().sum().detach()))
    torch.testing.assert_close(other.module.weight.grad - weight.grad, 2.0 * start.detach().sign())


def test_the_average_follows_the_weights_and_is_put_back():
    module = torch.nn.Linear(1, 1, bias=False)
    weights = [1.0, 2.0, 6.0, 4.0]
    with torch.no_grad():
        module.weight.fill_(weights[0])
        average = Average(module, 0.5)
        for value in weights[1:]:
            module.weight.fill_(value)
            average.update()
    expected = ((1.0 + 2.0) / 2 + 6.0) / 2 / 2 + 4.0 / 2
    with average.in_place():
        assert float(module.weight.detach()) == pytest.approx(expected)
    assert float(module.weight.detach()) == 4.0
    early = Average(module, 0.999)
    with torch.no_grad():
        module.weight.fill_(0.0)
    early.update()
    assert float(early.weights[0]) == pytest.approx(2.0)  # not 3.996: the first weights fade


def test_every_step_goes_into_the_average(splits):
    some = stepper(splits[0], ema=0.5)
    weights = [moved(some)]
    for step in range(3):
        some.step(0, step)
        weights.append(moved(some))
    mean = weights[0]
    for new in weights[1:]:
        mean = 0.5 * (mean + new)
    with some.average.in_place():
        torch.testing.assert_close(moved(some), mean)


def test_the_average_is_what_is_frozen_and_resumed(splits, tmp_path):
    class Killed(Exception):
        pass

    def kill(progress):
        if progress.epoch == 3:
            raise Killed

    settings = Settings(epochs=4, batch_size=20, ema=0.8, checkpoint_every=2, validate_every=1)
    arguments = ("sll", {"width": 64, "hidden": 8, "depth": 1}, *splits, settings)
    whole = train(*arguments, tmp_path / "a")
    with pytest.raises(Killed):
        train(*arguments, tmp_path / "b", on_epoch=kill)
    assert train(*arguments, tmp_path / "b", resume=True).sha256() == whole.sha256()
    plain = train(*arguments[:-1], settings.with_options(ema=0.0), tmp_path / "c")
    assert plain.sha256() != whole.sha256()


def test_the_penalty_is_the_sum_of_what_is_new_in_the_kernels(splits, tmp_path):
    settings = Settings(epochs=1, checkpoint_every=1)
    origin = train("sll-conv", SIZES, *splits, settings, tmp_path / "o")
    lben, dense = reparametrize(origin).lbens
    penalty = KernelPenalty([lben, dense], 0.1)
    assert penalty
    assert float(penalty().detach()) < 1e-10
    [outside] = penalty.outside
    assert 0.3 < float(outside.double().mean()) < 1.0
    with torch.no_grad():
        lben.S.add_(1e-3 * torch.randn_like(lben.S))
    kernel = lben.structure.array(lben.weight()).detach()
    assert float(penalty().detach()) == pytest.approx(0.1 * float(kernel[outside].abs().sum()))
    assert not KernelPenalty([dense], 0.1)
    assert not KernelPenalty([lben], 0.0)


def test_the_penalty_keeps_kernels_small(splits, tmp_path):
    settings = Settings(epochs=3, lr=1e-4, checkpoint_every=1, batch_size=20)
    origin = train("sll-conv", SIZES, *splits, settings.with_options(lr=1e-2), tmp_path / "o")
    start = KernelPenalty(reparametrize(origin).lbens, 1.0)
    new = {}
    for weight in (0.0, 1.0):
        told = []
        out = tmp_path / str(weight)
        tuned_settings = settings.with_options(kernel_l1=weight)
        finetune(origin, *splits, tuned_settings, out, on_parts=told.append)
        start.lbens = list(told[0].lbens[:1])
        new[weight] = float(start().detach())
    assert 0.0 < new[1.0] < 0.9 * new[0.0]


def test_a_clock_without_an_end_and_one_that_is_over(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("certlip.training.clock.time.monotonic", lambda: now[0])
    endless, short = Clock(None), Clock(2.0)
    now[0] = 119.0
    assert not short.over()
    assert not short.save_is_due()
    now[0] = 301.0
    assert short.over()
    assert short.save_is_due()
    assert not endless.over()
    short.saved()
    assert not short.save_is_due()
    for minutes in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="--max-minutes"):
            Clock(minutes)
