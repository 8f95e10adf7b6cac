"""An ONNX graph in the making: a chain of nodes with residual connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor


class Graph:
    """Nodes one after the other; the latest value and its shape without the batch."""

    def __init__(self, d: int, dtype: str) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.latest, self.shape, self.dtype = "x", (d,), dtype

    def constant(self, value: Tensor | Sequence[int] | float) -> str:
        """A stored array: numbers in the dtype of the file, or whole numbers."""
        from onnx import numpy_helper

        if isinstance(value, Tensor | float):
            array = np.ascontiguousarray(np.asarray(value, dtype=self.dtype))
        else:
            array = np.asarray(value, dtype=np.int64)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(
        self, op: str, *others: str, of: str | None = None, outputs: int = 1, **attributes: Any
    ) -> str:
        """One operator on the latest value, or on `of`; its first output becomes the latest."""
        from onnx import helper

        names = [f"v{len(self.nodes)}" + ("" if k == 0 else f"_{k}") for k in range(outputs)]
        inputs = [self.latest if of is None else of, *others]
        made = helper.make_node(op, inputs, names, name=f"n{len(self.nodes)}_{op}", **attributes)
        self.nodes.append(made)
        self.latest = names[0]
        return names[0]

    def as_attribute(self, number: float) -> bool:
        """Whether a number may stand in an attribute of a node, which is float32 in every file."""
        return self.dtype == "float32" or float(np.float32(number)) == number

    def reshape(self, shape: tuple[int, ...]) -> None:
        """The same numbers of every row in another shape."""
        if shape != self.shape:
            self.node("Reshape", self.constant([0, *shape]))
            self.shape = shape
