"""ONNX files of feed-forward networks, in float64: the operators of `certlip.interop.onnx_operators`.

Weights in float32 are exact in float64. Weights in other files beside the model are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from certlip.blocks import Network
from certlip.errors import CertlipError, InputError, UnsupportedError
from certlip.interop.lowering import Lowering
from certlip.interop.onnx_constants import CONSTANTS
from certlip.interop.onnx_node import BATCH, Node
from certlip.interop.onnx_operators import OPERATORS

#: Versions of the operators that the rules here were written for.
OPSETS = range(9, 27)
_FLOATS = {1: "float", 11: "double"}


def read_onnx(path: Path, values: dict[str, float]) -> Network:
    """The network of the file.

    Args:
        values: `mean` and `std` of the raw input, if its normalisation is not in the file.

    Raises:
        InputError: unreadable, or not what an ONNX file should be.
        UnsupportedError: an operator without a rule, or no chain of operators.
    """
    model = _loaded(path)
    for unknown in sorted(set(values) - {"mean", "std"}):
        raise InputError(f"--set {unknown}: onnx takes mean and std")
    try:
        to = _lowered(model.graph, values)
        entry = {"step": "convert", "format": "onnx", "source": path.name, "values": dict(values)}
        return to.network([entry])
    except CertlipError as error:
        raise type(error)(f"{path}: {error}") from None


def _loaded(path: Path) -> Any:
    """The model, checked for its form."""
    try:
        import onnx
    except ModuleNotFoundError:
        raise InputError(
            f'{path}: reading it needs the package onnx: pip install "certlip[onnx]"'
        ) from None
    try:
        found = path.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be searched
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not found:
        raise InputError(f"{path}: no such file")
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except Exception as error:  # the parser raises anything on damaged bytes
        raise InputError(f"{path}: not a readable ONNX file ({_line(error)})") from None
    graph = model.graph
    for tensor in _tensors(graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise InputError(
                f"{path}: {tensor.name or 'a tensor'} lies in another file: expected one file "
                "that holds all weights"
            )
    if graph.sparse_initializer:
        raise InputError(f"{path}: sparse initialisers: expected dense ones")
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets.get("", opsets.get("ai.onnx")) not in OPSETS:
        raise InputError(
            f"{path}: opset {opsets.get('')}: expected {OPSETS.start} to {OPSETS.stop - 1}"
        )
    for node in graph.node:  # before the check, which knows no operators of others
        if node.domain not in ("", "ai.onnx"):
            raise UnsupportedError(f"{path}: {node.op_type} of the domain {node.domain}: no rule")
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise InputError(f"{path}: not a valid ONNX model ({_line(error)})") from None
    return model


def _tensors(graph: Any) -> list[Any]:
    """All tensors with numbers that a rule could read."""
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    return [*graph.initializer, *(a.t for a in attributes if a.HasField("t"))]


def _lowered(graph: Any, values: dict[str, float]) -> Lowering:
    """The walk along the graph, from its one input to its one output."""
    from onnx import helper

    constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise UnsupportedError(
            f"{len(inputs)} inputs and {len(graph.output)} outputs: expected one of each"
        )
    latest, batch, shape = inputs[0].name, *_input_shape(inputs[0])
    to = Lowering(shape)
    to.normalize_input(values.get("mean"), values.get("std"))
    shapes = {latest: to.shape}
    for k, proto in enumerate(graph.node):
        where = f"{proto.name or f'node {k}'} ({proto.op_type})"
        with to.at(where):
            attributes = {a.name: _value(helper.get_attribute_value(a)) for a in proto.attribute}
            arguments = [constants.get(name) for name in proto.input]
            node = Node(attributes, arguments, batch)
            read = [name for name in proto.input if name and name not in constants]
            if proto.op_type == "Shape" and read and read[0] in shapes:
                constants[proto.output[0]] = np.array([BATCH, *shapes[read[0]]])
                continue
            if not read:
                constants[proto.output[0]] = _computed(proto.op_type, node)
                continue
            if read != [latest]:
                raise UnsupportedError(
                    f"reads {', '.join(read)}: expected {latest} alone; branches have no rule"
                )
            if proto.op_type not in OPERATORS:
                raise UnsupportedError(f"no rule; certlip has one for {', '.join(OPERATORS)}")
            OPERATORS[proto.op_type](to, node)
            node.check_all_taken()
        latest = proto.output[0]
        shapes[latest] = to.shape
    if graph.output[0].name != latest:
        raise UnsupportedError(
            f"the output {graph.output[0].name}: expected {latest}, the last one"
        )
    return to


def _computed(op_type: str, node: Node) -> np.ndarray:
    """The result of an operator on constants."""
    if op_type not in CONSTANTS:
        raise UnsupportedError(f"no rule on constants; certlip has one for {', '.join(CONSTANTS)}")
    try:
        result = CONSTANTS[op_type](node)
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise InputError(f"constants that do not fit ({_line(error)})") from None
    node.check_all_taken()
    return result


def _input_shape(value: Any) -> tuple[int | None, list[int]]:
    """The size of the batch, if it is fixed, and the shape of one input."""
    kind = value.type.tensor_type
    if kind.elem_type not in _FLOATS:
        raise UnsupportedError(
            f"input {value.name} of element type {kind.elem_type}: expected float"
        )
    sides = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    batch, shape = (sides[0], sides[1:]) if sides else (None, [])
    if not shape or any(side is None or side < 1 for side in shape):
        raise InputError(
            f"input {value.name} of shape {sides}: expected the batch and fixed numbers ≥ 1"
        )
    return batch, [side for side in shape if side is not None]


def _value(value: Any) -> Any:
    """An attribute as plain Python or NumPy."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "data_type") and hasattr(value, "dims"):
        return _array(value)
    return value if isinstance(value, int | float | list) else None


def _array(tensor: Any) -> np.ndarray:
    """A tensor as a NumPy array: floating-point numbers in float64, whole ones in int64."""
    from onnx import numpy_helper

    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:  # as many bytes as it says?
        raise InputError(f"tensor {tensor.name}: not readable ({_line(error)})") from None
    if array.dtype in (np.float32, np.float64):
        return array.astype(np.float64)
    if array.dtype in (np.int64, np.int32, np.bool_):
        return array.astype(np.int64)
    raise UnsupportedError(f"tensor {tensor.name} of {array.dtype}: expected float32 or float64")


def _line(error: BaseException) -> str:
    """The first line of an exception's text, short."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return first if len(first) <= 160 else first[:157] + "…"
