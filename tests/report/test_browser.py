"""The page in a real browser: complete, quiet, alone, on a desktop and on a phone, light and dark."""

import re
from pathlib import Path

import numpy as np
import pytest
from browser import browser, measured, screenshot

from certlip.report import write
from certlip.report.pictures import pictures

PHONE, DESKTOP = 375, 1000


def _check_width(text, width, folder):
    found = measured(text, width, folder)
    assert found["width"] <= width
    assert found["wide"] == []
    return found


@pytest.fixture
def page(document, samples, before, tmp_path):
    browser()
    images = np.random.default_rng(0).random((len(samples), 64))
    shown = pictures(samples, lambda index: images[index], (1, 8, 8))
    path = tmp_path / "report.html"
    document["gates"][0]["expr"] = "certified_accuracy@" + "9" * 60 + "/255 >= 0.5"
    document["model"]["path"] = "runs/" + "a-long-name-of-a-model" * 6 + ".pt"
    write("html", path, document | {"pictures": shown}, samples, [before])
    return path


@pytest.mark.parametrize("width", [320, PHONE, 600, DESKTOP])
def test_nothing_reaches_over_the_side(page, tmp_path, width):
    found = _check_width(page.read_text("utf-8"), width, tmp_path)
    assert found["text"] > 2000
    assert len(found["images"]) == 24
    assert all(size == [8, 8] for size in found["images"])
    # only what is inside of the page
    assert {name.partition(":")[0] for name in found["loaded"]} <= {"data"}


def test_light_and_dark(page, tmp_path):
    light = screenshot(page, DESKTOP, 3200, tmp_path)
    dark = screenshot(page, DESKTOP, 3200, tmp_path, dark=True)
    assert light.shape == dark.shape == (3200, DESKTOP, 3)
    assert light[:5, :5].mean() > 240
    assert dark[:5, :5].mean() < 50
    for shot in (light, dark):
        bands = shot.reshape(16, 200, DESKTOP, 3)
        assert (bands.std((1, 2, 3)) > 2).all()  # no empty stretch
    lines = {"light": [11, 92, 173], "dark": [108, 178, 247]}  # the curve and the bars
    for shot, colour in ((light, lines["light"]), (dark, lines["dark"])):
        assert (np.abs(shot - np.array(colour)).sum(2) < 12).sum() > 2000


@pytest.mark.parametrize(
    "fault",
    [
        ("</main>", '<p style="width: 50rem">wide</p></main>'),
        ("</main>", '<img src="https://example.org/a.png" alt=""></main>'),
        ("</main>", "<script>console.log(1)</script></main>"),
    ],
)
def test_a_faulty_page_is_noticed(page, tmp_path, fault):
    text = page.read_text("utf-8").replace(*fault)
    with pytest.raises(AssertionError):  # a line in the console, or too wide
        _check_width(text, PHONE, tmp_path)


def test_the_picture_of_the_readme_is_small():
    folder = Path(__file__).resolve().parents[2]
    names = re.findall(r"docs/img/[\w-]+\.png", (folder / "README.md").read_text("utf-8"))
    assert names
    assert all((folder / name).stat().st_size < 150_000 for name in names)
