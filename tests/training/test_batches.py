"""Batches: a function of seed, epoch and step, wherever the data lies and whoever takes which rows."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from certlip import data
from certlip.data import Dataset
from certlip.data.augment.crop import Crop
from certlip.data.augment.flip import Flip
from certlip.errors import InputError
from certlip.training import Settings
from certlip.training.batches import Batches
from certlip.training.group import Group

WHOLE = slice(None)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", split="train").first(50)


def batches(dataset, resident=2**30, **options):
    settings = Settings(batch_size=16).with_options(**options)
    return Batches(dataset, settings, torch.float32, "cpu", resident)


def samples(x, label):
    return {(*row.tolist(), int(c)) for row, c in zip(x, label, strict=True)}


def test_an_epoch_is_every_sample_once(digits):
    found = batches(digits)
    assert (found.steps, [found.size(k) for k in range(4)]) == (4, [16, 16, 16, 2])
    expected = samples(torch.tensor(digits.x).float(), digits.label)
    for epoch in range(2):
        parts = [found.batch(epoch, step, WHOLE) for step in range(4)]
        assert set().union(*(samples(*part) for part in parts)) == expected
    assert not torch.equal(found.batch(0, 0, WHOLE)[0], found.batch(1, 0, WHOLE)[0])


@pytest.mark.parametrize("augment", [(), (Crop(padding=1), Flip())])
def test_streaming_gives_what_the_device_gives(digits, augment):
    near, far = batches(digits, augment=augment), batches(digits, 0, augment=augment)
    assert near._stored is not None
    assert far._stored is None
    for step in (0, 3):
        for a, b in zip(near.batch(1, step, WHOLE), far.batch(1, step, WHOLE), strict=True):
            assert torch.equal(a, b)


@pytest.fixture(scope="module")
def bytes_():
    """All bytes, in some pictures."""
    pixels = np.arange(50 * 64).astype(np.uint8).reshape(50, 1, 8, 8)
    label = np.arange(50) % 10
    return Dataset.from_raw(
        "mine", "train", pixels, label, classes=10, shape=(1, 8, 8), divisor=255
    )


def walked(found, positions):
    return [found.batch(epoch, step, WHOLE) for epoch, step in positions]


@pytest.mark.parametrize("order", ["forward", "backward", "from the middle", "twice the same"])
def test_what_is_read_ahead_is_what_is_asked_for(bytes_, order):
    every = [(epoch, step) for epoch in range(3) for step in range(4)]
    positions = {
        "forward": every,
        "backward": every[::-1],
        "from the middle": every[6:],  # where a killed run goes on
        "twice the same": [position for position in every for _ in range(2)],
    }[order]
    near, far = batches(bytes_, epochs=3), batches(bytes_, 0, epochs=3)
    for a, b in zip(walked(near, positions), walked(far, positions), strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])


def test_the_next_batch_is_read_while_this_one_is_worked_on(bytes_):
    far = batches(bytes_, 0, epochs=2)
    asked, begun = [], threading.Semaphore(0)
    original = far._ahead._read

    def read(rows):
        asked.append((threading.current_thread().name, rows))
        begun.release()
        return original(rows)

    far._ahead._read = read
    far.batch(0, 0, WHOLE)
    assert begun.acquire(timeout=10)
    assert begun.acquire(timeout=10)
    assert [name.startswith("certlip-batches") for name, _ in asked] == [False, True]
    assert torch.equal(asked[1][1], far._rows(0, 1, WHOLE))
    for step in range(1, 8):
        far.batch(*divmod(step, 4), WHOLE)
    assert len(asked) == 8  # each once, and none behind the last


def test_what_fails_in_the_thread_is_raised_where_it_is_asked_for(bytes_):
    far = batches(bytes_, 0, epochs=2)
    original = far._ahead._read

    def read(rows):
        if threading.current_thread().name.startswith("certlip-batches"):
            raise InputError("the file is gone")
        return original(rows)

    far._ahead._read = read
    far.batch(0, 0, WHOLE)
    with pytest.raises(InputError, match="the file is gone"):
        far.batch(0, 1, WHOLE)


def test_all_processes_read_their_rows_ahead(bytes_):
    whole = batches(bytes_, epochs=2)
    for rank in range(3):
        group = Group()
        group.rank, group.world = rank, 3
        far = batches(bytes_, 0, epochs=2)
        for epoch, step in ((e, s) for e in range(2) for s in range(4)):
            part = group.share_of(far.size(step))
            for a, b in zip(
                far.batch(epoch, step, part), whole.batch(epoch, step, part), strict=True
            ):
                assert torch.equal(a, b)


def test_other_stored_numbers_are_read_too(digits):
    x = digits.x.astype(np.float32)
    x.flags.writeable = False
    floats = Dataset("mine", "train", x, digits.label, 10, (1, 8, 8))
    for resident in (0, 2**30):
        found, _ = batches(floats, resident).batch(0, 0, WHOLE)
        assert torch.equal(found, batches(digits).batch(0, 0, WHOLE)[0])


def test_the_rows_of_all_processes_are_the_batch(digits):
    found = batches(digits, augment=(Crop(padding=2), Flip()))
    for world in (2, 3, 5):
        for step in (1, 3):  # the last batch has 2 rows
            parts = []
            for rank in range(world):
                group = Group()
                group.rank, group.world = rank, world
                parts.append(found.batch(0, step, group.share_of(found.size(step))))
            for part, whole in zip(
                zip(*parts, strict=True), found.batch(0, step, WHOLE), strict=True
            ):
                assert torch.equal(torch.cat(part), whole)


def test_seed_epoch_and_step_decide_the_changes(digits):
    def first(seed, epoch, step):
        same = batches(digits.first(3), augment=(Crop(padding=3),), batch_size=1, seed=seed)
        return same._changed(torch.tensor(digits.x[:1]), epoch, step, WHOLE)

    torch.manual_seed(7)  # the state of the process must not matter
    assert torch.equal(first(0, 0, 0), first(0, 0, 0))
    others = [first(s, e, k) for s in range(3) for e in range(3) for k in range(3)]
    assert len({tuple(x[0].tolist()) for x in others}) > 10


def test_only_images_are_changed(digits):
    vectors = Dataset("mine", "train", digits.x, digits.label, 10, (64,))
    with pytest.raises(InputError, match="samples of shape"):
        batches(vectors, augment=(Flip(),))
    plane = Dataset("mine", "train", digits.x, digits.label, 10, (8, 8))
    assert batches(plane, augment=(Flip(),)).batch(0, 0, WHOLE)[0].shape == (16, 64)
