"""The pictures of a page: the right samples, exact pixels, and nothing that is not one of ours."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from certlip.errors import InputError
from certlip.report.pictures import MOST, pictures, read_pictures, write_pictures
from certlip.report.png import LARGEST, PREFIX, data_uri, shows


def decoded(uri):
    assert uri.startswith(PREFIX)
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix(PREFIX)))) as image:
        image.verify()
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix(PREFIX)))) as image:
        return np.asarray(image)


def test_pixels_are_those_of_the_sample():
    grey = np.random.default_rng(0).integers(0, 256, (5, 7))
    np.testing.assert_array_equal(decoded(data_uri(grey.ravel() / 255.0, (5, 7))), grey)
    np.testing.assert_array_equal(decoded(data_uri(grey.ravel() / 255.0, (1, 5, 7))), grey)
    colour = np.random.default_rng(1).integers(0, 256, (3, 4, 2))
    found = decoded(data_uri(colour.ravel() / 255.0, (3, 4, 2)))
    np.testing.assert_array_equal(found, colour.transpose(1, 2, 0))


def test_what_is_no_grey_value_is_cut_off():
    x = np.array([-1.0, 2.0, np.nan, np.inf])
    assert decoded(data_uri(x, (2, 2))).tolist() == [[0, 255], [0, 255]]


@pytest.mark.parametrize(("height", "width"), [(200, 100), (97, 5), (224, 224), (3, 1000)])
def test_large_pictures_are_reduced_to_means(height, width):
    found = decoded(data_uri(np.full(height * width, 0.5), (1, height, width)))
    assert max(found.shape) <= LARGEST
    assert abs(found.shape[0] / found.shape[1] * width / height - 1) < 0.2 or min(found.shape) == 1
    assert (found == 128).all()


def test_means_are_of_squares():
    x = np.random.default_rng(0).random((3, 192, 384))
    expected = x.reshape(3, 48, 4, 96, 4).mean((2, 4)).transpose(1, 2, 0)
    np.testing.assert_array_equal(
        decoded(data_uri(x.ravel(), x.shape)), np.rint(expected * 255).astype(np.uint8)
    )


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((8, 8), True), ((1, 8, 8), True), ((3, 8, 8), True), ((2, 8, 8), False), ((64,), False)],
)
def test_which_shapes_are_pictures(shape, expected):
    assert shows(shape) is expected
    assert bool(pictures([], lambda index: np.zeros((0, 1)), shape)) is expected


def test_which_samples_are_shown(samples):
    found = pictures(samples, lambda index: np.tile(index[:, None] / 512.0, 4), (2, 2))
    radii = {r["index"]: float(r["radius_lower"]) for r in samples if r["status"] == "certified"}
    order = sorted(radii, key=lambda index: radii[index])
    assert [entry["index"] for entry in found["least"]] == order[:MOST]
    assert [entry["index"] for entry in found["most"]] == order[: -MOST - 1 : -1]
    rest = [row["index"] for row in samples if row["status"] != "certified"]
    assert [entry["index"] for entry in found["without"]] == rest[:MOST]
    for entry in (entry for group in found.values() for entry in group):
        grey = round(entry["index"] / 512.0 * 255)
        assert (decoded(entry["source"]) == grey).all()  # the picture of this sample
        assert entry["radius_lower"] == samples[entry["index"]]["radius_lower"]


def test_a_radius_of_zero_is_none_and_ties_go_in_order():
    fields = {"label": 1, "predicted": 1, "status": "certified"}
    radii = ["0.5", "0.0", None, "0.5", *["0.5"] * 20]
    rows = [{"index": k, "radius_lower": r} | fields for k, r in enumerate(radii)]
    found = pictures(rows, lambda index: np.zeros((len(index), 4)), (2, 2))
    shown = {name: [entry["index"] for entry in group] for name, group in found.items()}
    assert shown["least"] == [0, *range(3, 10)]
    assert shown["without"] == [1, 2]
    assert set(shown["most"]).isdisjoint(shown["least"])


def test_few_samples_are_shown_once(samples):
    few = [row for row in samples if row["status"] == "certified"][:5]
    found = pictures(few, lambda index: np.zeros((len(index), 4)), (2, 2))
    assert (len(found["least"]), found["most"], found["without"]) == (5, [], [])


def test_kept_beside_the_results(samples, tmp_path):
    found = pictures(samples, lambda index: np.zeros((len(index), 4)), (2, 2))
    path = tmp_path / "pictures.json"
    assert read_pictures(path) == {}
    write_pictures(path, found)
    assert read_pictures(path) == found


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["least"][0].update(source="https://example.org/a.png"),
        lambda d: d["least"][0].update(source="data:text/html;base64,AAAA"),
        lambda d: d["least"][0].update(source=d["least"][0]["source"] + '" onload="'),
        lambda d: d["least"][0].update(source=None),
        lambda d: d["least"][0].pop("label"),
        lambda d: d["least"][0].update(label="<b>"),
        lambda d: d["least"][0].update(radius_lower="nan"),
        lambda d: d.update(least=3),
        lambda d: d.update(other=[]),
        lambda d: d.update(schema="certlip/pictures/2"),
        lambda d: d.pop("schema"),
    ],
)
def test_other_files_are_refused(samples, tmp_path, change):
    path = tmp_path / "pictures.json"
    write_pictures(path, pictures(samples, lambda i: np.zeros((len(i), 4)), (2, 2)))
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))
    with pytest.raises(InputError, match=r"pictures\.json: no pictures; expected"):
        read_pictures(path)
    for text in ("", "[]", "3", "{", "[" * 5000):
        path.write_text(text)
        with pytest.raises(InputError, match=r"pictures\.json: no pictures"):
            read_pictures(path)
