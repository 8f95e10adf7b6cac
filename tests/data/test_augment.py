"""Augmentations: whole batches give what one image at a time gives, by definitions written out here."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from certlip.data.augment import AUGMENTATIONS
from certlip.data.augment.crop import Crop
from certlip.data.augment.flip import Flip
from certlip.data.augment.jitter import GREY, Jitter
from certlip.errors import InputError

#: Of each kind an object whose options all matter.
ROWS = {"crop": Crop(padding=2), "flip": Flip(), "jitter": Jitter(hue=0.3)}


def images(n, channels=3, height=6, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, height, width, generator=generator, dtype=torch.float64)


def numbers(change, n, seed=1):
    return torch.rand(n, change.numbers, generator=torch.Generator().manual_seed(seed))


def only(**factors):
    """A jitter that changes nothing but what is named."""
    still = {"brightness": 0.0, "contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "hue": 0.0}
    return Jitter(**(still | factors))


def test_every_kind_has_a_row():
    assert {name: type(row) for name, row in ROWS.items()} == AUGMENTATIONS


@pytest.mark.parametrize("name", ROWS)
@given(cut=st.integers(0, 9), seed=st.integers(0, 2**31))
def test_a_batch_is_what_its_parts_are(name, cut, seed):
    change, x = ROWS[name], images(9, seed=seed)
    u, before = numbers(change, 9, seed + 1), x.clone()
    whole = change.apply(x, u)
    parts = [change.apply(x[part], u[part]) for part in (slice(cut), slice(cut, 9))]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=0.0, atol=1e-12)
    assert torch.equal(x, before)
    assert whole.min() >= 0.0
    assert whole.max() <= 1.0
    assert not torch.equal(whole, x)


def test_crop_is_a_piece_of_the_padded_image():
    change, x = Crop(padding=2), images(400)
    u = numbers(change, 400)
    found, seen = change.apply(x, u), set()
    for i in range(400):
        down, right = (int(5 * float(v)) for v in u[i])
        padded = np.pad(x[i].numpy(), ((0, 0), (2, 2), (2, 2)), mode="reflect")
        assert np.array_equal(found[i].numpy(), padded[:, down : down + 6, right : right + 5])
        seen.add((down, right))
    assert len(seen) == 25


def test_flip_mirrors_about_half_of_the_images():
    x = images(1000, 1, 2, 3)
    found = Flip().apply(x, numbers(Flip(), 1000))
    mirrored = [torch.equal(found[i], x[i].flip(-1)) for i in range(1000)]
    assert all(m or torch.equal(found[i], x[i]) for i, m in enumerate(mirrored))
    assert 440 < sum(mirrored) < 560


@given(share=st.floats(0.0, 0.999))
def test_brightness_contrast_and_saturation_mix_with_black_and_grey(share):
    x, u = images(1), torch.full((1, 8), share, dtype=torch.float64)
    weights = torch.tensor(GREY, dtype=torch.float64)[:, None, None]
    grey = (weights * x[0]).sum(0)
    for name, options, other in (
        ("brightness", 0.5, torch.zeros(())),
        ("contrast", (0.5, 1.5), grey.mean()),
        ("saturation", (0.5, 1.5), grey[None]),
    ):
        f = 0.5 + share
        expected = (f * x[0] + (1.0 - f) * other).clamp(0.0, 1.0)
        found = only(**{name: options}).apply(x, u)[0]
        torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-6)


@given(turn=st.floats(-0.5, 0.5), seed=st.integers(0, 1000))
def test_hue_is_that_of_colorsys(turn, seed):
    x = images(1, height=3, width=3, seed=seed)
    x[0, :, 0, 0], x[0, :, 1, 1] = 0.4, 0.0  # grey has no hue
    x[0, 1, 2, 2] = x[0, 0, 2, 2]  # two channels that are equal
    u = torch.full((1, 8), 0.5 * (turn / 0.5 + 1.0), dtype=torch.float64)
    found = only(hue=0.5).apply(x, u)[0].flatten(1).T
    for pixel, changed in zip(x[0].flatten(1).T.tolist(), found.tolist(), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        assert changed == pytest.approx(colorsys.hsv_to_rgb((h + turn) % 1.0, s, v), abs=1e-6)


def test_every_image_has_an_order_of_its_own():
    change = Jitter(brightness=0.5, contrast=(1.5, 1.5), saturation=(0.2, 0.2))
    x = images(1).expand(24, -1, -1, -1)
    u = torch.full((24, 8), 0.9)
    u[:, :4] = torch.stack([torch.randperm(4) for _ in range(24)]) / 4.0
    assert len({tuple(image.flatten().tolist()) for image in change.apply(x, u)}) > 2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Crop(padding=-1), "padding = -1"),
        (lambda: Crop(padding=1.5), "padding = 1.5"),
        (lambda: Crop(padding=5).apply(images(1), numbers(Crop(), 1)), "images of 6×5 pixels"),
        (lambda: Jitter(brightness=1.5), "brightness = 1.5: expected 0 to 1"),
        (lambda: Jitter(hue=float("nan")), "hue = nan"),
        (lambda: Jitter(contrast=(2.0, 1.0)), r"contrast = \(2.0, 1.0\)"),
        (lambda: Jitter().apply(images(1, 1), torch.rand(1, 8)), "images of 1 channels"),
    ],
)
def test_what_cannot_be_changed_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
