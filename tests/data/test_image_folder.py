"""`folder:PATH`: what is read and in which order, what is refused, and real pictures."""

from __future__ import annotations

import io
import struct
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from certlip.data import images, load
from certlip.data.images import decode
from certlip.errors import InputError

JPEG = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "cifar10-jpeg"


def png(value: int, mode: str = "RGB", size: tuple[int, int] = (3, 2), kind: str = "png") -> bytes:
    """A picture of one colour."""
    stream = io.BytesIO()
    colour: Any = value if mode in ("L", "P", "1", "I;16") else (value,) * len(mode)
    Image.new(mode, size, colour).save(stream, kind)
    return stream.getvalue()


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def pack(path: Path, files: dict[str, bytes], mode: Any = "w:gz") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, data in reversed(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


FLAT = {
    "b/1.png": png(1),
    "a/2.png": png(2),
    "b/0.png": png(0),
    "a/.DS_Store": b"x",
    "README": b"x",
}
SPLITS = {f"train/{c}/{i:02}.png": png(100 * (c == "b") + i) for c in "ab" for i in range(10)}
SPLITS |= {"test/b/x.png": png(7)}  # no picture of the first class
VALIDATION = {"val/b/v.png": png(9)}


def values(name: Path, split: str = "test") -> list[tuple[int, int]]:
    """First byte and label of every row."""
    data = load(f"folder:{name}", split=split)
    return [(int(x[0]), int(y)) for x, y in zip(data.stored, data.label, strict=True)]


@pytest.mark.parametrize("top", ["", "top/"])
@pytest.mark.parametrize("packed", [True, False])
def test_order_and_classes(tmp_path: Path, packed: bool, top: str) -> None:
    files = {top + name: data for name, data in FLAT.items()}
    path = pack(tmp_path / "t.tgz", files) if packed else put(tmp_path / "f", files)
    for split in ("train", "validation", "test"):
        assert values(path, split) == [(2, 0), (0, 1), (1, 1)]
    data = load(f"folder:{path}")
    assert (data.shape, data.classes, data.divisor) == ((3, 2, 3), 2, 255)


@pytest.mark.parametrize("how", ["folder", "archive", "archives"])
@pytest.mark.parametrize("validation", [True, False])
def test_splits(tmp_path: Path, how: str, validation: bool) -> None:
    files = SPLITS | (VALIDATION if validation else {})
    path = tmp_path / "f"
    if how == "folder":
        put(path, files)
    elif how == "archive":
        path = pack(tmp_path / "t.tar.xz", {f"./set/{n}": d for n, d in files.items()}, "w:xz")
    else:
        for part in ("train", "test", "val"):
            inside = {n.split("/", 1)[1]: d for n, d in files.items() if n.startswith(part)}
            if inside:
                pack(path / f"{part}.tar", inside, "w")
    train = [(100 * y + i, y) for y in (0, 1) for i in range(10)]
    assert values(path, "train-full") == train
    assert values(path) == [(7, 1)]
    held = [train[9], train[19]]
    assert values(path, "validation") == ([(9, 1)] if validation else held)
    assert values(path, "train") == [row for row in train if validation or row not in held]


def test_channels_come_first(tmp_path: Path) -> None:
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)  # height, width, channel
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    data = load(f"folder:{put(tmp_path, {'a/x.png': stream.getvalue()})}")
    assert np.array_equal(data.stored.reshape(3, 2, 3), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("modes", [("L", "L"), ("L", "RGB"), ("RGB", "L"), ("1", "L"), ("P", "L")])
def test_grey_and_colour(tmp_path: Path, modes: tuple[str, str]) -> None:
    files = {f"a/{i}.png": png(1, mode) for i, mode in enumerate(modes)}
    data = load(f"folder:{put(tmp_path, files)}")
    channels = 1 if set(modes) <= {"1", "L"} else 3
    assert data.shape == (channels, 2, 3)
    first = {"1": 255, "L": 1, "RGB": 1, "P": int(decode(files["a/0.png"], "")[0, 0, 0])}[modes[0]]
    assert data.stored.tolist() == [[first] * 6 * channels, [1] * 6 * channels]


@pytest.mark.parametrize("kind", ["bmp", "png", "ppm", "jpeg", "webp"])
def test_formats(tmp_path: Path, kind: str) -> None:
    data = load(f"folder:{put(tmp_path, {f'a/x.{kind}': png(200, kind=kind)})}")
    assert np.abs(data.stored.astype(int) - 200).max() <= (2 if kind in ("jpeg", "webp") else 0)


def bomb() -> bytes:
    """A picture that says it is 60,000 × 60,000."""
    good = png(0)
    head = struct.pack(">II", 60_000, 60_000) + good[24:29]
    return good[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + good[33:]


REFUSED = {
    "size": (
        {"a/1.png": png(1), "b/2.png": png(1, size=(2, 3))},
        "2.png': 3 × 2|1.png': 2 × 3 pixels; exp",
    ),
    "no picture": (
        {"a/1.png": b"hello"},
        "a/1.png': cannot identify image file; expected a picture",
    ),
    "cut short": ({"a/1.png": png(1, size=(99, 99))[:-30]}, "a/1.png': .*expected a picture"),
    "wrong format": ({"a/1.png": png(1, kind="gif")}, "cannot identify"),
    "transparent": ({"a/1.png": png(1, "RGBA")}, "mode RGBA; expected grey or RGB of 8 bits"),
    "sixteen bits": ({"a/1.png": png(1, "I;16")}, "mode I;16; expected grey or RGB"),
    "bomb": ({"a/1.png": bomb()}, "a/1.png': .*expected a picture"),
    "large": ({"a/1.png": png(1, "1", (5000, 5000))}, "5000 × 5000, mode 1; .*at most 16,777,216"),
    "other files": ({"a/1.png": png(1), "a/x.csv": b""}, "'a/x.csv': expected pictures"),
    "too deep": ({"a/b/c/1.png": png(1), "d/1.png": png(1)}, "'a/b/c/1.png': expected pictures"),
    "split and class": ({"train/a/1.png": png(1), "b/1.png": png(1)}, "'train/a/1.png': expected"),
    "none": ({"1.png": png(1)}, r"no pictures for split 'test' \(found: none\)"),
    "no test": (
        {"train/a/1.png": png(1)},
        r"split 'test' \(found: 1 of train\); expected that PATH",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("packed", [True, False])
def test_refused(tmp_path: Path, case: str, packed: bool) -> None:
    files, message = REFUSED[case]
    path = pack(tmp_path / "t.tar", files, "w") if packed else put(tmp_path / "f", files)
    with pytest.raises(InputError, match=message) as caught:
        load(f"folder:{path}")
    assert "\n" not in str(caught.value)


def test_refused_paths(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: no such folder or archive; expected that PATH is"):
        load(f"folder:{tmp_path / 'none'}")
    pack(put(tmp_path, SPLITS) / "train.tar", {"a/1.png": png(1)})
    with pytest.raises(InputError, match=r"train.tar: other pictures than those of train"):
        load(f"folder:{tmp_path}")


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, FLAT)
    monkeypatch.setattr(images, "MAX_BYTES", 53)
    with pytest.raises(InputError, match=r"3 pictures of this size have 54 bytes; .* at most 53"):
        load(f"folder:{path}")
    monkeypatch.setattr(images, "MAX_FILE", 10)
    with pytest.raises(InputError, match=r"'a/2.png' has .* bytes; expected at most 10"):
        load(f"folder:{path}")


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r'a/2.png.*pip install "certlip\[images\]"'):
        load(f"folder:{put(tmp_path, FLAT)}")


@pytest.mark.skipif(
    not JPEG.is_dir(),
    reason="the pictures are not beside this checkout (../shared/data/cifar10-jpeg)",
)
def test_real_pictures() -> None:
    data = load(f"folder:{JPEG / 'test.tar.xz'}")
    assert (len(data), data.shape, data.classes) == (10_000, (3, 32, 32), 10)
    assert np.bincount(data.label).tolist() == [1000] * 10
    assert np.bincount(data.limited(50).label).tolist() == [5] * 10
    means = data.stored.reshape(10_000, 3, 1024).mean((0, 2)) / 255
    assert means == pytest.approx(
        [0.4942, 0.4852, 0.4505], abs=2e-3
    )  # of the original: page of data
    with tarfile.open(JPEG / "test.tar.xz") as tar:
        stream = tar.extractfile("cat/0003.jpg")
        assert stream is not None
        picture = np.asarray(Image.open(stream))
    assert np.array_equal(data.stored[3003].reshape(3, 32, 32), picture.transpose(2, 0, 1))


def test_a_grey_picture_before_colours_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    data = load(f"folder:{put(tmp_path, {'a/0.png': stream.getvalue(), 'a/1.png': png(9)})}")
    assert np.array_equal(data.stored[0].reshape(3, 2, 3), np.stack([pixels] * 3))
