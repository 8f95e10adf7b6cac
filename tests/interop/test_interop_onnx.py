"""ONNX files as networks: every operator against onnxruntime and, in float64, against torch."""

import numpy as np
import pytest
import torch
from foreign_nets import assert_same
from onnx_files import node, reference, runtime, write
from torch import nn

from certlip.interop import from_torch, read_onnx
from certlip.interop.onnx_operators import OPERATORS
from certlip.lmi import prove
from certlip.solvers import Evaluator

RNG = np.random.default_rng(0)


def n(*shape):
    return RNG.normal(size=shape).astype(np.float32)


IMAGE = (3, 7, 6)
NORM = {"s": n(3), "b": n(3), "m": n(3), "v": np.abs(n(3)) + 0.5}
SHAPES = {"zero": np.array(0), "minus": np.array([-1])}
VIEW = [
    node("Shape", ["x"], "whole"),
    node("Gather", ["whole", "zero"], "batch", axis=0),
    node("Unsqueeze", ["batch", "first"], "batches"),
    node("Concat", ["batches", "minus"], "shape", axis=0),
    node("Reshape", ["x", "shape"], "y"),
]
ROWS = {
    "Gemm": (
        [node("Gemm", ["x", "W", "b"], "y", transB=1, alpha=0.5, beta=2.0)],
        {"W": n(4, 5), "b": n(4)},
        (5,),
    ),
    "Gemm no bias": ([node("Gemm", ["x", "W"], "y")], {"W": n(5, 4)}, (5,)),
    "Gemm scalar bias": ([node("Gemm", ["x", "W", "b"], "y")], {"W": n(5, 4), "b": n(1)}, (5,)),
    "MatMul": (
        [node("MatMul", ["x", "W"], "h"), node("Add", ["b", "h"], "y")],
        {"W": n(5, 4), "b": n(4)},
        (5,),
    ),
    "MatMul of a transpose": (
        [node("Transpose", ["W"], "V", perm=[1, 0]), node("MatMul", ["x", "V"], "y")],
        {"W": n(4, 5)},
        (5,),
    ),
    "Conv": (
        [node("Conv", ["x", "K", "b"], "y", strides=[2, 1], pads=[1, 0, 2, 3], dilations=[1, 2])],
        {"K": n(4, 3, 3, 2), "b": n(4)},
        IMAGE,
    ),
    "Conv groups": (
        [node("Conv", ["x", "K"], "y", group=3, kernel_shape=[2, 2])],
        {"K": n(6, 1, 2, 2)},
        IMAGE,
    ),
    "Conv upper": (
        [node("Conv", ["x", "K"], "y", auto_pad="SAME_UPPER", strides=[2, 2])],
        {"K": n(4, 3, 2, 4)},
        IMAGE,
    ),
    "Conv lower": (
        [node("Conv", ["x", "K"], "y", auto_pad="SAME_LOWER", strides=[2, 1])],
        {"K": n(4, 3, 2, 4)},
        IMAGE,
    ),
    "Conv valid": ([node("Conv", ["x", "K"], "y", auto_pad="VALID")], {"K": n(4, 3, 2, 4)}, IMAGE),
    "AveragePool": ([node("AveragePool", ["x"], "y", kernel_shape=[2, 3])], {}, IMAGE),
    "AveragePool strided": (
        [node("AveragePool", ["x"], "y", kernel_shape=[2, 2], strides=[2, 2])],
        {},
        IMAGE,
    ),
    "AveragePool padded": (
        [
            node(
                "AveragePool",
                ["x"],
                "y",
                kernel_shape=[3, 2],
                strides=[2, 1],
                pads=[1, 0, 0, 1],
                count_include_pad=1,
            )
        ],
        {},
        IMAGE,
    ),
    "GlobalAveragePool": ([node("GlobalAveragePool", ["x"], "y")], {}, IMAGE),
    "ReduceMean": ([node("ReduceMean", ["x"], "y", axes=[2, 3], keepdims=0)], {}, IMAGE),
    "BatchNormalization": (
        [node("BatchNormalization", ["x", *"sbmv"], "y", epsilon=0.01)],
        NORM,
        IMAGE,
    ),
    "Relu": ([node("Relu", ["x"], "y")], {}, IMAGE),
    "LeakyRelu": ([node("LeakyRelu", ["x"], "y", alpha=0.3)], {}, IMAGE),
    "LeakyRelu default": ([node("LeakyRelu", ["x"], "y")], {}, IMAGE),
    "Tanh": ([node("Tanh", ["x"], "y")], {}, (4,)),
    "Elu": ([node("Elu", ["x"], "y", alpha=0.7)], {}, (4,)),
    "Identity": ([node("Identity", ["x"], "h"), node("Relu", ["h"], "y")], {}, (4,)),
    "Dropout": (
        [node("Dropout", ["x", "r"], "h"), node("Relu", ["h"], "y")],
        {"r": np.array(0.5)},
        (4,),
    ),
    "Flatten": ([node("Flatten", ["x"], "h"), node("Relu", ["h"], "y")], {}, IMAGE),
    "Reshape": (
        [node("Reshape", ["x", "s"], "h"), node("MatMul", ["h", "W"], "y")],
        {"s": np.array([-1, 126]), "W": n(126, 3)},
        IMAGE,
    ),
    "Reshape zero": (
        [node("Reshape", ["x", "s"], "h"), node("Relu", ["h"], "y")],
        {"s": np.array([0, 0, -1])},
        IMAGE,
    ),
    "Reshape view": ([*VIEW, node("Relu", ["y"], "z")], {**SHAPES, "first": np.array([0])}, IMAGE),
    "Pad": (
        [node("Pad", ["x", "p", "c"], "y")],
        {"p": np.array([0, 0, 1, 2, 0, 0, -1, 0]), "c": np.array(0.0)},
        IMAGE,
    ),
    "Sub": (
        [node("Sub", ["x", "m"], "h"), node("Div", ["h", "s"], "y")],
        {"m": n(1, 3, 1, 1), "s": np.abs(n(3, 1, 1))},
        IMAGE,
    ),
    "Sub from": ([node("Sub", ["m", "x"], "y")], {"m": n(3, 1, 1)}, IMAGE),
    "Div": ([node("Div", ["x", "s"], "y")], {"s": np.array(-255.0)}, (4,)),
    "Mul": (
        [node("Mul", ["s", "x"], "h"), node("Add", ["h", "b"], "y")],
        {"s": n(4), "b": n(1, 4)},
        (4,),
    ),
    "Add": ([node("Add", ["x", "b"], "y")], {"b": n(*IMAGE)}, IMAGE),
    "Constant": (
        [node("Constant", [], "c", value_float=0.1), node("Mul", ["x", "c"], "y")],
        {},
        (4,),
    ),
}


def test_every_operator_has_a_row():
    assert {name.split()[0] for name in ROWS} >= set(OPERATORS)


@pytest.mark.parametrize("name", ROWS)
def test_an_operator_is_that_of_onnxruntime(name, tmp_path):
    nodes, constants, shape = ROWS[name]
    path = write(tmp_path / "net.onnx", nodes, constants, shape)
    x = RNG.normal(size=(3, *shape)).astype(np.float32)
    network = read_onnx(path, {})
    y = Evaluator(network)(torch.from_numpy(x).double().flatten(1))
    torch.testing.assert_close(y, runtime(path, x), rtol=1e-5, atol=1e-5)
    slopes = torch.autograd.functional.jacobian(
        Evaluator(network), torch.from_numpy(x[:1]).double().flatten(1)
    )
    assert float(torch.linalg.matrix_norm(slopes[0, :, 0], 2)) <= prove(network).lip.value * (
        1 + 1e-12
    )


@pytest.mark.parametrize("name", sorted({*ROWS} - {"Constant", "Pad"}))
def test_an_operator_in_float64_is_that_of_the_reference(name, tmp_path):
    nodes, constants, shape = ROWS[name]
    path = write(tmp_path / "net.onnx", nodes, constants, shape, dtype=np.float64)
    x = RNG.normal(size=(2, *shape))
    expected = torch.from_numpy(reference(path, x)).flatten(1)
    y = Evaluator(read_onnx(path, {}))(torch.from_numpy(x).flatten(1))
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 5, "n"])
def test_a_network_is_the_same_as_its_torch_module(tmp_path, batch):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 3),
    ).eval()  # fmt: skip
    module[1].running_mean.normal_()
    module[1].running_var.uniform_(0.5, 2.0)
    state = {name: value.numpy() for name, value in module.state_dict().items() if value.ndim}
    statistics = ("weight", "bias", "running_mean", "running_var")
    nodes = [
        node("Conv", ["x", "0.weight", "0.bias"], "a", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["a", *(f"1.{name}" for name in statistics)], "b"),
        node("Relu", ["b"], "c"),
        node("AveragePool", ["c"], "d", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", ["d", "shape"], "e"),
        node("Gemm", ["e", "5.weight", "5.bias"], "f", transB=1),
        node("Tanh", ["f"], "g"),
        node("Gemm", ["g", "7.weight", "7.bias"], "h", transB=1),
    ]  # fmt: skip
    state["shape"] = np.array([1 if batch == 1 else -1, 16])
    path = write(tmp_path / "net.onnx", nodes, state, (2, 8, 8), batch=batch)
    network = read_onnx(path, {})
    assert_same(
        network, module, (2, 8, 8), tol=1e-7
    )  # the default epsilon is a float32 in the file
    same = from_torch(module.float(), (2, 8, 8))
    assert [b.kind for b in network.blocks] == [b.kind for b in same.blocks]
    x = np.random.default_rng(1).random((1 if batch == "n" else batch, 2, 8, 8)).astype(np.float32)
    y = Evaluator(network)(torch.from_numpy(x).double().flatten(1))
    torch.testing.assert_close(y, runtime(path, x), rtol=1e-5, atol=1e-5)
    [entry] = network.history
    assert entry == {"step": "convert", "format": "onnx", "source": "net.onnx", "values": {}}


def test_weights_in_float32_are_exact(tmp_path):
    W = n(5, 4)
    path = write(tmp_path / "net.onnx", [node("MatMul", ["x", "W"], "y")], {"W": W}, (5,))
    assert np.array_equal(
        read_onnx(path, {}).blocks[0].arrays()["W"].numpy(), W.T.astype(np.float64)
    )


def test_normalisation_of_the_command_line(tmp_path):
    path = write(tmp_path / "net.onnx", [node("MatMul", ["x", "W"], "y")], {"W": n(5, 4)}, (5,))
    plain, scaled = read_onnx(path, {}), read_onnx(path, {"mean": 0.5, "std": 0.25})
    x = torch.rand(2, 5, dtype=torch.float64)
    y = Evaluator(plain)((x - 0.5) / 0.25)
    torch.testing.assert_close(Evaluator(scaled)(x), y, rtol=1e-12, atol=1e-12)
    assert [b.kind for b in scaled.blocks] == ["normalize", "affine"]


@pytest.mark.parametrize("opset", [9, 11, 13, 21])
def test_versions_of_operators(opset, tmp_path):
    pads = [0, 0, 1, 0, 0, 0, 0, 2]
    if opset < 11:
        pad = node("Pad", ["x"], "p", pads=pads)
    else:
        pad = node("Pad", ["x", "pads"], "p")
    mean = node("ReduceMean", ["p"], "m", axes=[2, 3])
    constants = {"pads": np.array(pads)} if opset >= 11 else {}
    if opset >= 18:
        mean, constants["axes"] = node("ReduceMean", ["p", "axes"], "m"), np.array([-1, -2])
    nodes = [pad, mean, node("Dropout", ["m"], "d"), node("Flatten", ["d"], "y")]
    path = write(tmp_path / "net.onnx", nodes, constants, IMAGE, opset=opset)
    x = RNG.normal(size=(2, *IMAGE)).astype(np.float32)
    y = Evaluator(read_onnx(path, {}))(torch.from_numpy(x).double().flatten(1))
    torch.testing.assert_close(y, runtime(path, x), rtol=1e-5, atol=1e-5)
