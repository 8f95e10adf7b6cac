"""ONNX operators on constants that only move their numbers, such as those that make up a shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from certlip.errors import UnsupportedError
from certlip.interop.onnx_node import Node


def _constant(node: Node) -> np.ndarray:
    value = node.attribute("value")
    for name, dtype in (("value_float", float), ("value_floats", float)):
        value = _or(value, node.attribute(name), dtype)
    for name in ("value_int", "value_ints"):
        value = _or(value, node.attribute(name), np.int64)
    if not isinstance(value, np.ndarray):
        raise UnsupportedError("a constant that is no dense tensor of numbers")
    return value


def _or(value: Any, other: Any, dtype: Any) -> Any:
    return value if other is None else np.asarray(other, dtype=dtype)


def _unsqueeze(node: Node) -> np.ndarray:
    array = _first(node)
    axes = node.numbers(1, "axes") or []
    return np.expand_dims(array, tuple(axes))


def _first(node: Node) -> np.ndarray:
    array = node.constant(0)
    assert array is not None
    return array


def _gather(node: Node) -> np.ndarray:
    array, index = _first(node), node.constant(1)
    return np.take(array, np.asarray(index, dtype=np.int64), axis=node.attribute("axis", 0))


def _concatenated(node: Node) -> np.ndarray:
    arrays = [node.constant(k) for k in range(len(node.arguments))]
    return np.concatenate([a for a in arrays if a is not None], axis=node.attribute("axis"))


#: Operators that only move the numbers of constants.
CONSTANTS: dict[str, Callable[[Node], np.ndarray]] = {
    "Constant": _constant,
    "Identity": _first,
    "Transpose": lambda node: np.transpose(_first(node), node.attribute("perm")),
    "Unsqueeze": _unsqueeze,
    "Gather": _gather,
    "Concat": _concatenated,
}
