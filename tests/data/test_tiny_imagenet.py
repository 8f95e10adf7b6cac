"""Tiny ImageNet: its layout, made small, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from test_image_folder import png, put

from certlip.data import load, tiny_imagenet
from certlip.errors import InputError

WNIDS = ("n03", "n01", "n02")
SIZE = (64, 64)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_imagenet, "CLASSES", 3)
    monkeypatch.setattr(tiny_imagenet, "PER_CLASS", 10)
    monkeypatch.setattr(tiny_imagenet, "TEST", 4)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {"wnids.txt": "\n".join(WNIDS).encode() + b"\n", "words.txt": b"n01\tfish\n"}
    for wnid in WNIDS:
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b""
        for i in range(10):
            mode = "L" if i == 0 else "RGB"  # a few of the real ones are grey
            value = 10 * int(wnid[1:]) + i
            files[f"train/{wnid}/images/{wnid}_{i}.JPEG"] = png(value, mode, SIZE, "jpeg")
    lines = [
        f"val_{i}.JPEG\t{w}\t0\t32\t44\t62\n" for i, w in enumerate(("n02", "n01", "n03", "n02"))
    ]
    files["val/val_annotations.txt"] = "".join(lines).encode()
    for i in range(4):
        files[f"val/images/val_{i}.JPEG"] = png(200 + i, "RGB", SIZE, "jpeg")
    return put(tmp_path / "tiny-imagenet-200", files)


@pytest.mark.parametrize("inside", [True, False])
def test_splits(root: Path, inside: bool) -> None:
    rows = {}
    for split in ("train", "validation", "train-full", "test"):
        data = load("tiny-imagenet", split=split, data_dir=root if inside else root.parent)
        assert (data.shape, data.classes, data.divisor) == ((3, 64, 64), 3, 255)
        assert (abs(data.stored.astype(int) - data.stored[:, :1]) <= 2).all()
        rows[split] = list(zip(data.stored[:, 0].tolist(), data.label.tolist(), strict=True))
    full = [(10 * (y + 1) + i, y) for y in range(3) for i in range(10)]
    assert rows["train-full"] == full
    assert rows["validation"] == full[9::10]
    assert rows["train"] == [row for row in full if row not in full[9::10]]
    assert rows["test"] == [(200, 1), (201, 0), (202, 2), (203, 1)]


def annotate(text: str) -> Callable[[Path], object]:
    return lambda root: (root / "val" / "val_annotations.txt").write_text(text)


def wnids(text: bytes) -> Callable[[Path], object]:
    return lambda root: (root / "wnids.txt").write_bytes(text)


LINE = "val_0.JPEG\tn01\t0\t32\t44\t62\n"
PICTURE = "val/images/val_1.JPEG"
REFUSED = {
    "no wnids": (lambda r: (r / "wnids.txt").unlink(), "no wnids.txt; expected wnids.txt, train/n"),
    "classes": (wnids(b"n01\nn02\n"), "wnids.txt: 2 classes in 2 lines; expected 3"),
    "class twice": (wnids(b"n01\nn02\nn02\n"), "wnids.txt: 2 classes in 3 lines"),
    "upwards": (wnids(b"n01\nn02\n../x\n"), "wnids.txt: '../x'; expected a name like"),
    "no text": (wnids(b"n01\nn02\n\xff\n"), "wnids.txt: .*expected plain text"),
    "no folder": (wnids(b"n01\nn02\nn04\n"), "n04/images: No such file"),
    "fewer": (lambda r: (r / "train/n02/images/n02_3.JPEG").unlink(), "n02/images: 9 files; .* 10"),
    "no annotations": (lambda r: (r / "val/val_annotations.txt").unlink(), "txt' is missing"),
    "fewer lines": (annotate(LINE), "val_annotations.txt: 1 pictures; expected 4"),
    "twice": (annotate(LINE * 4), "val_annotations.txt: line 2: 'val_0"),
    "class": (annotate(LINE.replace("n01", "n09")), "line 1: .*a class of wnids.txt"),
    "outside": (annotate("../x" + LINE), "line 1: "),
    "empty line": (annotate("\n"), "line 1: ''; expected a name that comes once"),
    "no picture": (lambda r: (r / PICTURE).unlink(), f"'{PICTURE}' is missing"),
    "size": (lambda r: (r / PICTURE).write_bytes(png(1, size=(8, 8))), "8 × 8 pixels; .*64 × 64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(root: Path, case: str) -> None:
    change, message = REFUSED[case]
    change(root)
    with pytest.raises(InputError, match=message) as caught:
        [load("tiny-imagenet", split=split, data_dir=root) for split in ("train", "test")]
    assert "\n" not in str(caught.value)


def test_other_sizes_are_refused(root: Path) -> None:
    for i in range(4):
        (root / f"val/images/val_{i}.JPEG").write_bytes(png(1, size=(32, 32)))
    with pytest.raises(InputError, match=r"shape \(3, 32, 32\); expected \(3, 64, 64\)"):
        load("tiny-imagenet", data_dir=root)
