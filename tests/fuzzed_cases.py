"""300 inputs for all readers, the same ones every time.

A case is a command line and a file. What only moves numbers, such as a flipped bit, may leave a file that
is valid; whatever is `hostile` must be refused.
"""

from __future__ import annotations

import io
import itertools
import json
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fuzzed_files import (
    HUGE_BLOCKS,
    MIB,
    Write,
    arrays,
    changed_model,
    damaged,
    gz,
    gz_zeros,
    model_with,
    npy,
    png,
    put,
    repacked,
    torch_bomb,
    zeros,
    zip_of_zeros,
)

LARGE = 3 << 30
"""Bytes that a bomb expands to."""


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


@dataclass(frozen=True)
class Bases:
    """Whole files of every format, which are then damaged."""

    folder: Path
    """With the files of LINES, a folder `run` of certify and one `training`."""

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


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
        for name, write, heavy in _hostile(file, bases):
            yield Case(file, name, file, line, write, heavy=heavy)
    yield from _results(bases)
    yield from _checkpoints(bases)
    yield from _idx(bases)
    yield from _pictures(bases)


def _hostile(file: str, bases: Bases) -> Iterator[tuple[str, Write, bool]]:
    model = bases.folder / "model.pt"
    eye = torch.eye(2, dtype=torch.float64)
    if file == "model.pt":
        yield "a bomb", torch_bomb(LARGE), True
        yield "packed", repacked(bases.read("model.pt")), False
        for name, block in HUGE_BLOCKS.items():
            yield f"a {name} of huge shape", model_with([block]), False
        view = torch.zeros(1, dtype=torch.float64).expand(1 << 20, 1 << 20)
        yield "a view of huge shape", model_with([{"kind": "affine", "meta": {}}], W=view), False
        for dtype in (torch.float16, torch.int64, torch.complex128, torch.bool, torch.quint8):

            def wrong(_: dict, tensors: dict, dtype: torch.dtype = dtype) -> None:
                W = tensors["block0.W"]
                quantized = dtype == torch.quint8
                tensors["block0.W"] = (
                    torch.quantize_per_tensor(W.float(), 1.0, 0, dtype)
                    if quantized
                    else W.to(dtype)
                )

            yield f"{dtype}", changed_model(model, wrong), False
        for name, value in (("NaN", np.nan), ("infinity", np.inf)):

            def spoil(_: dict, tensors: dict, value: float = value) -> None:
                tensors["block0.W"][0, 0] = value

            yield name, changed_model(model, spoil), False
        for name, blocks in (("blocks are a number", 1), ("blocks are nested", [[[]]])):
            yield name, changed_model(model, lambda d, _, b=blocks: d.update(blocks=b)), False
        yield "a sparse tensor", lambda p: torch.save({"tensors": {"a": eye.to_sparse()}}, p), False
    elif file == "model.safetensors":
        for name, header in (
            ("a huge tensor", {"a": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 8]}}),
            ("a wrong type", {"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 8]}}),
            ("NaN", {"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}),
        ):
            text = json.dumps({**header, "__metadata__": {"certlip": "{}"}}).encode()
            yield name, put(struct.pack("<Q", len(text)) + text + b"\xff" * 8), False
        yield "a header of 2^62 bytes", put(struct.pack("<Q", 1 << 62) + b"{}"), False
    elif file == "model.onnx":
        yield from _onnx()
    elif file in ("monotone.mat", "cells.mat"):
        header = bases.read(file)[:128]
        packed = b"".join(zeros(LARGE))
        bomb = struct.pack("<II", 15, len(packed)) + packed
        yield "a bomb", lambda path: path.write_bytes(header + bomb), True
        array = struct.pack("<IIIIIIIIii", 14, 64, 6, 8, 6, 0, 5, 8, 1 << 20, 1 << 20)
        yield "a huge matrix", put(header + array + struct.pack("<HH4sII", 1, 1, b"A", 9, 0)), False
        for name, value in (("NaN", np.nan), ("complex numbers", 1j), ("text", "a"), ("3-d", 1.0)):
            yield name, _mat(file, value, (2, 2, 2) if name == "3-d" else (2, 2)), False
    elif file == "mondeq.params":
        yield "a bomb", torch_bomb(LARGE), True
        for name, tensor in (
            ("NaN", eye * np.nan),
            ("whole numbers", eye.long()),
            ("3-d", eye[None]),
        ):
            yield name, lambda p, t=tensor: torch.save({"mon.linear_module.A.weight": t}, p), False
    elif file == "c.certlip":
        yield "a bomb as document", zip_of_zeros("certificate.json", LARGE), True
        document = {"schema": "certlip/certificate/2", "arrays": {"a": {}}}
        text = {"certificate.json": json.dumps(document).encode()}
        yield "a bomb as array", zip_of_zeros("a.npy", LARGE, text, npy(f"({LARGE // 8},)")), True
        yield "a huge array", zip_of_zeros("a.npy", MIB, text, npy(f"({1 << 50},)")), False
        yield "an array of objects", zip_of_zeros("a.npy", MIB, text, npy("(1,)", "|O")), False
        deep = {"certificate.json": b"[" * 100_000}
        yield "a deep document", zip_of_zeros("a.npy", 0, deep), False
    elif file == "data.npz":
        labels = {"y.npy": npy("(1,)", "<i8") + bytes(8)}
        lying = npy(f"({LARGE // 512},64)")
        yield "a bomb", zip_of_zeros("x.npy", LARGE, labels, lying), True
        yield "a huge array", zip_of_zeros("x.npy", 0, labels, npy(f"({1 << 50},64)")), False
        y = np.zeros(2, int)
        for name, x in (
            ("NaN", np.full((2, 64), np.nan)),
            ("infinity", np.full((2, 64), np.inf)),
            ("complex numbers", np.zeros((2, 64), complex)),
            ("whole numbers of 32 bits", np.zeros((2, 64), np.int32)),
            ("texts", np.full((2, 64), "a")),
            ("no numbers", np.zeros((2, 0))),
        ):
            yield name, put(arrays(x=x, y=y)), False
        yield "labels that are NaN", put(arrays(x=np.zeros((1, 64)), y=np.array([np.nan]))), False
    elif file == "certlip.toml":
        yield "deep", put(b"a = " + b"[" * 100_000), False
        yield "large", put(b"#" * (2 * MIB)), False
        for value in ("nan", "1979-05-27", "[[]]", "{}", "9" * 5000, "-1", "1e999"):
            yield f"seed is {value[:9]}", put(f"seed = {value}".encode()), False
    elif file == "recipe.toml":
        yield "deep", put(b"a = " + b"[" * 100_000), False
        text = bases.read(file).decode()
        for old, new in (
            ('family = "sll"', "family = 1"),
            ('family = "sll"', 'family = ["sll"]'),
            ('dataset = "digits"', "dataset = {}"),
            ("depth = ", "depth = -"),
            ("depth = ", 'depth = "a" # '),
            ("depth = ", "depth = nan # "),
            ("hidden = ", "hidden = 1000000000"),
            ("lr = ", "lr = nan # "),
            ("lr = ", 'lr = "a" # '),
            ("epochs = ", "epochs = 1.5 # "),
            ("batch_size = ", "batch_size = -"),
            ("[train]", "origin = 1\n[train]"),
            ("[train]", "expected = 1\n[train]"),
            ("[model]", "[[model]]"),
        ):
            assert old in text, old
            yield f"{old} becomes {new[:30]}", put(text.replace(old, new, 1).encode()), False


def _mat(file: str, value: object, shape: tuple[int, ...]) -> Write:
    def write(path: Path) -> None:
        import scipy.io

        array = np.full(shape, value)
        if file == "cells.mat":
            cells = np.empty((1, 1), dtype=object)
            cells[0, 0] = array
            scipy.io.savemat(path, {"weights": cells})
        else:
            names = ("A", "B", "U", "u", "C", "c")
            scipy.io.savemat(path, dict.fromkeys(names, array))

    return write


def _onnx() -> Iterator[tuple[str, Write, bool]]:
    from onnx import TensorProto, helper, numpy_helper

    def model(nodes: list, weights: list, shape: list) -> Write:
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)
            for name, sides in (("x", shape), ("y", [f"side{k}" for k in range(len(shape))]))
        ]
        graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        made.ir_version = 8
        return put(made.SerializeToString())

    def linear(W: np.ndarray) -> Write:
        weights = [numpy_helper.from_array(W, "W")]
        return model([helper.make_node("MatMul", ["x", "W"], ["y"])], weights, [1, 2])

    yield "NaN", linear(np.full((2, 2), np.nan, np.float32)), False
    yield "half precision", linear(np.zeros((2, 2), np.float16)), False
    yield "texts", linear(np.full((2, 2), "a", object)), False
    yield "another shape", linear(np.zeros((3, 2), np.float32)), False
    big = TensorProto(data_type=TensorProto.FLOAT, dims=[1 << 30, 1 << 30], name="W", raw_data=b"")
    product = helper.make_node("MatMul", ["x", "W"], ["y"])
    yield "a huge weight", model([product], [big], [1, 2]), False
    relu = helper.make_node("Relu", ["x"], ["y"])
    yield "a huge input", model([relu], [], [1, 1 << 20, 1 << 20]), False
    pool = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[1 << 20, 1 << 20])
    yield "a huge window", model([pool], [], [1, 1, 8, 8]), False
    kernel = numpy_helper.from_array(np.zeros((1, 1, 3, 3), np.float32), "K")
    conv = helper.make_node("Conv", ["x", "K"], ["y"], pads=[1 << 40] * 4)
    yield "huge padding", model([conv], [kernel], [1, 1, 8, 8]), False
    names = ["x", *(f"h{k}" for k in range(2000)), "y"]
    odd = [helper.make_node("Cos", [a], [b]) for a, b in itertools.pairwise(names)]
    yield "two thousand unknown operators", model(odd, [], [1, 2]), False


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
