"""A value that depends on parameters alone, kept until one of them changes.

Changes are seen by the version counters of the tensors, which every in-place operation, optimizer step and
`load_state_dict` raises; writing through `parameter.data` hides a change from torch and from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from torch import Tensor

T = TypeVar("T")


class Kept(Generic[T]):
    """Holds one value and the state of the parameters it was computed from; copies start empty."""

    def __init__(self) -> None:
        self._key: list[Any] | None = None
        self._value: T | None = None

    def find(self, parameters: Iterable[Tensor]) -> T | None:
        """The value, if it belongs to the parameters as they are now."""
        key = _key(parameters)
        return self._value if key is not None and key == self._key else None

    def store(self, parameters: Iterable[Tensor], value: T) -> T:
        self._key, self._value = _key(parameters), value
        return value

    def get(self, parameters: Iterable[Tensor], compute: Callable[[], T]) -> T:
        """The value, computed if it has to be."""
        parameters = list(parameters)
        found = self.find(parameters)
        return self.store(parameters, compute()) if found is None else found

    def __deepcopy__(self, memo: dict[int, Any]) -> Kept[T]:
        return Kept()

    def __reduce__(self) -> tuple[type[Kept[T]], tuple[()]]:
        return (Kept, ())


def _key(parameters: Iterable[Tensor]) -> list[Any] | None:
    """What identifies the values of the parameters; None where torch does not count versions."""
    parameters = list(parameters)
    if any(p.is_inference() for p in parameters):
        return None
    return [(p.data_ptr(), p._version, p.dtype, p.device, p.shape) for p in parameters]
