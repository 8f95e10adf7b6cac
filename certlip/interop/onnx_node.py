"""One ONNX operator as its rule reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from certlip.errors import InputError, UnsupportedError

#: Stands for the size of the batch among the numbers of a shape, which are only moved, never added.
BATCH = -(2**62)


class Node:
    """One operator: attributes, constant arguments (None: the input, or not given), and the batch.

    Every attribute and argument is taken once; what nobody took has no rule.
    """

    def __init__(
        self, attributes: dict[str, Any], arguments: list[np.ndarray | None], batch: int | None
    ) -> None:
        self.arguments, self.batch = arguments, batch
        self._attributes = attributes
        self._left = {k for k, argument in enumerate(arguments) if argument is not None}

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute by name."""
        return self._attributes.pop(name, default)

    def constant(self, k: int) -> np.ndarray | None:
        """Argument k, if it is there."""
        self._left.discard(k)
        return self.arguments[k] if k < len(self.arguments) else None

    def tensor(self, k: int) -> Tensor:
        """Argument k, which must be floating-point numbers.

        Raises:
            UnsupportedError: it is computed from the input.
            InputError: it is something else.
        """
        found = self.optional(k)
        if found is None:
            raise UnsupportedError(f"input {k} is not constant")
        return found

    def optional(self, k: int) -> Tensor | None:
        """Argument k as floating-point numbers, if it is there."""
        array = self.constant(k)
        if array is None:
            return None
        if array.dtype != np.float64:
            raise InputError(f"input {k} of {array.dtype}: expected floating-point numbers")
        return torch.from_numpy(np.ascontiguousarray(array))

    def numbers(self, k: int, name: str) -> list[int] | None:
        """Whole numbers that are argument k since some version, and the attribute `name` before."""
        array = self.constant(k)
        if array is None:
            return self.attribute(name)
        if array.dtype != np.int64:
            raise InputError(f"{name} of {array.dtype}: expected whole numbers")
        return [int(number) for number in array.reshape(-1)]

    def check_all_taken(self) -> None:
        """Raises an `UnsupportedError` if the operator has more than a rule knows."""
        if self._attributes or self._left:
            left = [*self._attributes, *(f"input {k}" for k in sorted(self._left))]
            raise UnsupportedError(f"no rule for {', '.join(left)}")


def pair_of(node: Node, name: str) -> tuple[int, int]:
    """An attribute of two whole numbers ≥ 1, both 1 by default."""
    return positive(name, node.attribute(name, [1, 1]))


def positive(name: str, value: Any) -> tuple[int, int]:
    """Two whole numbers ≥ 1."""
    a, b = counts(name, value, 2, 1)
    return a, b


def counts(name: str, value: Any, length: int, least: int) -> list[int]:
    """Raises an `InputError` unless these are so many whole numbers of at least `least`."""
    if not isinstance(value, Sequence) or len(value) != length or min(value) < least:
        raise InputError(f"{name} {value!r}: expected {length} whole numbers ≥ {least}")
    return list(value)
