"""What only somebody hostile would write: bombs, huge shapes, other types, numbers that are none."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from fuzzed_files import (
    HUGE_BLOCKS,
    LARGE,
    MIB,
    Bases,
    Write,
    arrays,
    changed_model,
    model_with,
    npy,
    put,
    repacked,
    torch_bomb,
    zeros,
    zip_of_zeros,
)


def hostile_inputs(file: str, bases: Bases) -> Iterator[tuple[str, Write, bool]]:
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
