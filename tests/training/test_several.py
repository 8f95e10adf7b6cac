"""Two processes train as one with the same batches: the same losses and weights to rounding."""

from __future__ import annotations

import json
import os

import pytest
import torch
import torch.distributed as dist
from forked import end, start

from certlip import data
from certlip.blocks import load
from certlip.data.augment.crop import Crop
from certlip.errors import InconclusiveError
from certlip.training import Settings, finetune, train
from certlip.training.group import Group, flat
from certlip.training.stepper import Stepper

SETTINGS = Settings(
    epochs=3,
    batch_size=49,  # 150 samples: the last batch has 3
    accumulate=2,
    ema=0.5,
    clip=1.0,
    augment=(Crop(padding=1),),
    kernel_l1=0.1,
    validate_every=1,
    checkpoint_every=2,
)
SIZES = {"channels": 4, "pool": 4, "inner": 3, "conv_depth": 1, "hidden": 8, "dense_depth": 1}


def both(out):
    """Trains and fine-tunes."""
    splits = [data.load("digits", split=name).first(150) for name in ("train", "validation")]
    origin = train("sll-conv", SIZES, *splits, SETTINGS, out / "sll")
    finetune(origin, *splits, SETTINGS.with_options(epochs=1, lr=1e-4), out / "lben")
    if dist.is_initialized():
        dist.destroy_process_group()


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def peers(out, work=both):
    """Two processes with folders of their own; how they ended."""

    def process(rank):
        def main():
            store = f"file://{out / 'store'}"
            dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
            work(out / str(rank))

        return main

    children = [start(process(rank)) for rank in range(2)]
    return [end(child) for child in children]


def test_two_processes_train_as_one(tmp_path):
    assert peers(tmp_path) == [0, 0]
    assert end(start(lambda: both(tmp_path / "alone"))) == 0
    for step in ("sll", "lben"):
        one, two = rows(tmp_path / "alone" / step), rows(tmp_path / "0" / step)
        assert [row["epoch"] for row in one] == [row["epoch"] for row in two]
        for a, b in zip(one, two, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
            assert a["natural"] == pytest.approx(b["natural"], abs=0.02)
            assert b["proven"]
        a, b = (load(tmp_path / name / step / "model.pt") for name in ("alone", "0"))
        for x, y in zip(a.blocks, b.blocks, strict=True):
            for name, array in x.arrays().items():
                torch.testing.assert_close(array, y.arrays()[name], rtol=1e-2, atol=1e-3)
    assert not (tmp_path / "1").exists()  # the first process writes


def test_a_process_that_is_gone_ends_the_run(tmp_path):
    original, first = Stepper.step, tmp_path / "0"

    def leaves(self, epoch, step, stop=False):
        if self.group.rank == 1 and (epoch, step) == (1, 2):
            os._exit(9)
        return original(self, epoch, step, stop)

    def work(out):
        Stepper.step = leaves
        with pytest.raises(InconclusiveError, match="another process of this run is gone"):
            both(out)

    assert peers(tmp_path, work) == [0, 9]
    assert not (first / "sll" / "model.pt").exists()


def test_every_row_has_one_process():
    for world in (1, 2, 3, 7):
        for size in (0, 1, 2, 6, 64):
            taken = []
            for rank in range(world):
                group = Group()
                group.rank, group.world = rank, world
                taken += list(range(size))[group.share_of(size)]
            assert taken == list(range(size))


def test_alone_there_is_nothing_to_exchange():
    values = flat([torch.ones(2, 2), torch.zeros(1)])
    Group().sum(values)
    assert values.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert Group().from_first("x") == "x"
