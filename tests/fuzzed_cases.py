"""300 inputs for all readers, the same ones every time.

A case is a command line and a file. What only moves numbers, such as a flipped bit, may leave a file that
is valid; whatever is `hostile` must be refused.
"""

from __future__ import annotations

import io
import json
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from fuzzed_files import (
    LARGE,
    Bases,
    Write,
    damaged,
    gz,
    gz_zeros,
    png,
    put,
    repacked,
    torch_bomb,
)
from fuzzed_hostile import hostile_inputs


@dataclass(frozen=True)
class Case:
    """One input: `write` makes the file at the path that replaces FILE in the line, in the folder DIR.

    Args:
        hostile: Whether exit codes 2 and 3 are the only ones allowed.
        folder: What is copied beside the file first, if anything is.
        heavy: Whether making it takes seconds.
    """

    reader: str
    name: str
    file: str
    line: str
    write: Write
    hostile: bool = True
    folder: Path | None = None
    heavy: bool = False

    def prepare(self, where: Path) -> list[str]:
        """Makes the file, and returns the command line."""
        if self.folder is not None:
            shutil.copytree(self.folder, where, dirs_exist_ok=True)
        self.write(where / self.file)
        names = {"FILE": str(where / self.file), "DIR": str(where)}
        parts = self.line.split()
        for old, new in names.items():
            parts = [part.replace(old, new) for part in parts]
        return parts


CERTIFY = "certify BASE/model.pt --dataset npz:FILE --falsify 0"
LINES = {
    "model.pt": "inspect FILE",
    "model.safetensors": "inspect FILE",
    "model.onnx": "inspect FILE",
    "monotone.mat": "convert FILE --from semimondeq --set m=1 --out DIR/out.pt",
    "cells.mat": "convert FILE --from lipsdp --out DIR/out.pt",
    "mondeq.params": "convert FILE --from mondeq-2020 --set m=1 --out DIR/out.pt",
    "c.certlip": "verify FILE",
    "data.npz": CERTIFY,
    "certlip.toml": "doctor --config FILE",
    "recipe.toml": "train --recipe FILE --dataset digits --limit 40 --epochs 1 --out DIR/out",
}
FLIPS = {"model.pt": 14, "c.certlip": 16, "model.safetensors": 12, "model.onnx": 14}
"""Flipped copies; 8 of the others."""


def cases(bases: Bases) -> Iterator[Case]:
    """All of them."""
    for file, line in LINES.items():
        line = line.replace("BASE", str(bases.folder))
        for name, content, hostile in damaged(bases.read(file), FLIPS.get(file, 8), 5):
            # half of a text may be one
            surely = hostile and not (file.endswith(".toml") and name.startswith("cut"))
            yield Case(file, name, file, line, put(content), surely)
        for name, write, heavy in hostile_inputs(file, bases):
            yield Case(file, name, file, line, write, heavy=heavy)
    yield from _results(bases)
    yield from _checkpoints(bases)
    yield from _idx(bases)
    yield from _pictures(bases)


def _results(bases: Bases) -> Iterator[Case]:
    run = bases.folder / "run"
    for name, content, hostile in damaged(bases.read("run/report.json"), 8, 5):
        line = "report FILE --format junit,html"
        yield Case("report.json", name, "report.json", line, put(content), hostile, run)
    for name, content, _ in damaged(bases.read("run/results.jsonl"), 6, 4):
        line = "compare FILE DIR/report.json" if name.startswith("flip") else "report DIR"
        line = line.replace("FILE", str(run))
        # rows may be any number of whole lines
        yield Case("results.jsonl", name, "results.jsonl", line, put(content), False, run)
    text = bases.read("run/report.json").decode()
    document = json.loads(text)
    for key, value in (
        ("gates", [1]),
        ("gates", [{"expr": "a" * 10**6, "passed": True, "actual": 1, "line": -1}]),
        ("certified_accuracy", {"1/0": 1}),
        ("certified_accuracy", {"9" * 5000: 1}),
        ("certified_accuracy", {"1e999999999": 1}),
        ("certified_accuracy", {"36/255": "a"}),
        ("data", {**document["data"], "n": -1}),
        ("data", {**document["data"], "shape": None}),
        ("settings", {**document["settings"], "norm": 2}),
        ("model", {**document["model"], "blocks": [1]}),
        ("natural_accuracy", [0.5]),
        ("lipschitz_upper", "nan?"),
        ("exit_code", True),
        ("status", 1),
    ):
        content = json.dumps(document | {key: value}).encode()
        for line in ("report FILE --format html,card,md", "compare FILE FILE"):
            name = f"{key} is {value!r:.40}, {line[:7]}"
            yield Case("report.json", name, "report.json", line, put(content), True, run)


def _checkpoints(bases: Bases) -> Iterator[Case]:
    folder = bases.folder / "training"
    line = "train --dataset digits --limit 60 --epochs 2 --threads 1 --out DIR --resume"
    content = bases.read("training/checkpoint.pt")
    for name, changed, hostile in damaged(content, 6, 4):
        yield Case("checkpoint.pt", name, "checkpoint.pt", line, put(changed), hostile, folder)
    stored = torch.load(io.BytesIO(content), weights_only=True)
    for name, write, heavy in (
        ("a bomb", torch_bomb(LARGE), True),
        ("packed", repacked(content), False),
        ("no state", lambda p: torch.save({**stored, "state": "{"}, p), False),
        ("another state", lambda p: torch.save({**stored, "state": '{"epoch": "a"}'}, p), False),
        ("no weights", lambda p: torch.save({**stored, "module": {}}, p), False),
        ("numbers for weights", lambda p: torch.save({**stored, "module": 1}, p), False),
        ("no optimizer", lambda p: torch.save({**stored, "optimizer": {"state": 1}}, p), False),
        ("no random numbers", lambda p: torch.save({**stored, "random": {}}, p), False),
    ):
        yield Case("checkpoint.pt", name, "checkpoint.pt", line, write, True, folder, heavy)


def _idx(bases: Bases) -> Iterator[Case]:
    line = f"certify {bases.folder / 'model.pt'} --dataset mnist --data-dir DIR --falsify 0"
    images = struct.pack(">4I", 2051, 10_000, 28, 28)
    labels = put(struct.pack(">2I", 2049, 10_000) + bytes(10_000))
    for name, file, content in (
        ("no numbers", "t10k-images-idx3-ubyte", images),
        ("cut", "t10k-images-idx3-ubyte", images + bytes(1000)),
        ("another magic number", "t10k-images-idx3-ubyte", b"\0\0\x0d\x03" + images[4:]),
        ("huge", "t10k-images-idx3-ubyte", struct.pack(">4I", 2051, *[2**32 - 1] * 3)),
        ("not gzip", "t10k-images-idx3-ubyte.gz", images),
        ("cut gzip", "t10k-images-idx3-ubyte.gz", gz(images + bytes(10_000))[:50]),
        ("a bomb", "t10k-images-idx3-ubyte.gz", None),
        (
            "whole, of another size than the model",
            "t10k-images-idx3-ubyte.gz",
            gz(images + bytes(7_840_000)),
        ),
    ):

        def write(path: Path, content: bytes | None = content) -> None:
            path.write_bytes(gz(images)[:-8] + gz_zeros(LARGE) if content is None else content)
            labels(path.parent / "t10k-labels-idx1-ubyte")

        yield Case("idx", name, file, line, write, heavy=content is None)


def _pictures(bases: Bases) -> Iterator[Case]:
    line = f"certify {bases.folder / 'model.pt'} --dataset folder:DIR --split test --falsify 0"
    whole = png(8, 8)
    for name, content in (
        ("cut", whole[:40]),
        ("noise", b"\x89PNG" + bytes(100)),
        ("a bomb", png(30_000, 30_000)),
        ("huge", png(2**31 - 1, 2**31 - 1)),
        ("no pixels", png(0, 0)),
    ):

        def write(path: Path, content: bytes = content) -> None:
            for kind in ("a", "b"):
                (path.parent / "test" / kind).mkdir(parents=True)
                (path.parent / "test" / kind / "1.png").write_bytes(content)

        yield Case("picture", name, "unused", line, write)
