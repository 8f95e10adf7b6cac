"""ONNX files that are damaged, hostile or beyond the rules: one line with file, operator and reason."""

import sys
from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_files import model_of, node, write

from certlip.errors import CertlipError, InputError, UnsupportedError
from certlip.interop import read_onnx

IMAGE = (1, 4, 4)


def refused(path, error, match):
    with pytest.raises(error, match=match) as caught:
        read_onnx(path, {})
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def f(*shape):
    return np.ones(shape)


def one(op, constants, shape=IMAGE, extra=(), **attributes):
    return [node(op, ["x", *constants, *extra], "y", **attributes)], constants, shape


UNSUPPORTED = {
    "max pooling": (one("MaxPool", {}, kernel_shape=[2, 2]), r"the_y \(MaxPool\): no rule"),
    "softmax": (one("Softmax", {}), r"\(Softmax\): no rule"),
    "sigmoid": (one("Sigmoid", {}), r"\(Sigmoid\): no rule"),
    "leak": (one("LeakyRelu", {}, alpha=2.0), "negative slope 2.0"),
    "elu": (one("Elu", {}, alpha=1.5), "alpha = 1.5"),
    "residual": (
        ([node("Relu", ["x"], "h"), node("Add", ["x", "h"], "y")], {}, IMAGE),
        "reads x, h: expected h alone",
    ),
    "older": (
        ([node("Relu", ["x"], "h"), node("Tanh", ["x"], "y")], {}, IMAGE), "reads x: expected h alone"
    ),
    "square": (one("Mul", {}, extra=["x"]), "reads x, x"),
    "reciprocal": (([node("Div", ["c", "x"], "y")], {"c": f(1)}, IMAGE), "division by the input"),
    "transposed": (one("Gemm", {"W": f(4, 3)}, (4,), transA=1), "transA = 1"),
    "matrix first": (([node("Gemm", ["W", "x"], "y")], {"W": f(3, 4)}, (4,)), "input 1 is not constant"),
    "axes": (one("Flatten", {}, axis=2), "axis = 2"),
    "everything": (one("Reshape", {"s": np.array([4, -1])}), "expected the batch to stay"),
    "one long row": (one("Reshape", {"s": np.array([-1])}), "expected|shape"),
    "padding value": (one("Pad", {"p": np.zeros(8, dtype=np.int64), "c": np.array(1.0)}), "constant zeros"),
    "padding mode": (one("Pad", {"p": np.zeros(8, dtype=np.int64)}, mode="edge"), "constant zeros"),
    "padded channels": (one("Pad", {"p": np.array([0, 1, 0, 0, 0, 0, 0, 0])}), "rows and columns alone"),
    "divisors": (one("AveragePool", {}, kernel_shape=[2, 2], pads=[1] * 4), "differ in their divisor"),
    "ceil": (one("AveragePool", {}, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), "ceil_mode"),
    "axes of a mean": (one("ReduceMean", {}, axes=[1, 2]), "expected rows and columns"),
    "lines": (one("Conv", {"K": f(1, 1, 3)}, (1, 5)), "kernel of 1 axes"),
    "constants": (
        ([node("Exp", ["c"], "e"), node("Add", ["x", "e"], "y")], {"c": f(1)}, IMAGE),
        "no rule on constants",
    ),
    "training": (
        one("BatchNormalization", {k: f(1) for k in "sbmv"}, training_mode=1), "depends on the batch"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_has_no_rule_is_named(name, tmp_path):
    (nodes, constants, shape), match = UNSUPPORTED[name]
    refused(write(tmp_path / "net.onnx", nodes, constants, shape), CertlipError, match)


def test_shapes_must_be_fixed(tmp_path):
    for shape in (("c", 4, 4), (1, 0, 4), ()):
        path = write(tmp_path / "net.onnx", [node("Relu", ["x"], "y")], {}, shape)
        refused(path, InputError, "expected the batch and fixed numbers")


def changed(change, tmp_path):
    model = model_of([node("MatMul", ["x", "W"], "y")], {"W": f(4, 3)}, (4,))
    change(model)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def elsewhere(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"


def lies(model):
    model.graph.initializer[0].dims[0] = 2**40


CHANGES = {
    "other files": (elsewhere, InputError, "lies in another file"),
    "lying dimensions": (lies, InputError, "not a valid|not readable"),
    "opset": (lambda m: m.opset_import[0].__setattr__("version", 99), InputError, "opset 99: expected"),
    "old opset": (lambda m: m.opset_import[0].__setattr__("version", 6), InputError, "opset 6"),
    "no opset": (lambda m: m.ClearField("opset_import"), InputError, "opset None"),
    "domain": (
        lambda m: m.graph.node[0].__setattr__("domain", "com.microsoft"),
        UnsupportedError, "MatMul of the domain com.microsoft",
    ),
    "no such operator": (
        lambda m: m.graph.node[0].__setattr__("op_type", "Magic"), InputError, "not a valid ONNX model"
    ),
    "half": (
        lambda m: m.graph.initializer[0].__setattr__("data_type", TensorProto.FLOAT16), CertlipError, "W",
    ),
    "inputs": (
        lambda m: m.graph.input.append(helper.make_tensor_value_info("z", 1, [1])),
        UnsupportedError, "2 inputs and 1 outputs",
    ),
    "whole numbers": (
        lambda m: m.graph.input[0].type.tensor_type.__setattr__("elem_type", 7),
        CertlipError, "element type 7",
    ),
    "not finite": (
        lambda m: m.graph.initializer[0].__setattr__("raw_data", np.full((4, 3), np.nan, "f").tobytes()),
        InputError, r"the_y \(MatMul\): affine block: W\[0, 0\] = nan",
    ),
    "too short": (
        lambda m: m.graph.initializer[0].__setattr__("raw_data", b"abcd"), InputError, "net.onnx",
    ),
    "empty graph": (lambda m: m.graph.ClearField("node"), CertlipError, "net.onnx"),
    "nothing": (lambda m: m.Clear(), InputError, "net.onnx"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_file_is_refused(name, tmp_path):
    change, error, match = CHANGES[name]
    refused(changed(change, tmp_path), error, match)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x08", b"\xff" * 100, b"PK\x05\x06" + b"\0" * 18]
)
def test_what_is_no_onnx_file_is_refused(content, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    refused(path, InputError, r"net\.onnx")


@settings(max_examples=60)
@given(at=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
def test_damaged_bytes_never_raise_anything_else(at, byte, cut, tmp_path_factory):
    content = bytearray(
        model_of([node("MatMul", ["x", "W"], "y")], {"W": f(4, 3)}, (4,)).SerializeToString()
    )
    at %= len(content)
    content[at] = byte
    path = tmp_path_factory.mktemp("damaged") / "net.onnx"
    path.write_bytes(bytes(content[:at]) if cut else bytes(content))
    with suppress(CertlipError):
        assert read_onnx(path, {}).in_width == 4


def test_sizes_that_would_fill_the_memory_are_refused(tmp_path):
    for attributes in (
        {"pads": [10**9] * 4},
        {"dilations": [10**8] * 2, "pads": [10**8] * 4},
        {"strides": [10**9] * 2, "pads": [0, 0, 2 * 10**9, 2 * 10**9]},
        {"pads": [-1, 0, 0, 0]},
    ):
        path = write(tmp_path / "net.onnx", *one("Conv", {"K": f(1, 1, 2, 2)}, **attributes))
        refused(path, CertlipError, r"the_y \(Conv\): ")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "net.onnx", [node("Relu", ["x"], "y")], {}, IMAGE)
    monkeypatch.setitem(sys.modules, "onnx", None)
    refused(path, InputError, r"certlip\[onnx\]")


def test_the_output_must_be_the_last_one(tmp_path):
    nodes = [node("Relu", ["x"], "h"), node("Tanh", ["h"], "y")]
    path = tmp_path / "net.onnx"
    onnx.save(model_of(nodes, {}, (4,), output="h"), str(path))
    refused(path, UnsupportedError, "the output h: expected y")
