"""A value that depends on parameters alone, kept until one of them changes.

Changes are seen by the version counters of the tensors, which every in-place operation, optimizer step and
`load_state_dict` raises; writing through `parameter.data` hides a change from torch and from here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Kept(Generic[T]):
    """Holds one value and the state of what it was computed from; copies start empty.

    `also` holds the plain numbers that the value depends on besides the parameters.
    """

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._value: T | None = None
        self._alive: list[Tensor] = []  # so that no other tensor is put where these were

    def find(self, parameters: Iterable[Tensor], also: Hashable = ()) -> T | None:
        """The value, if it belongs to the parameters as they are now."""
        key = _key(parameters, also)
        return self._value if key is not None and key == self._key else None

    def store(self, parameters: Iterable[Tensor], value: T, also: Hashable = ()) -> T:
        parameters = list(parameters)
        # a tensor made in inference mode could be in no graph later on
        self._key = None if torch.is_inference_mode_enabled() else _key(parameters, also)
        self._value = None if self._key is None else value
        self._alive = [p.detach() for p in parameters] if self._key is not None else []
        return value

    def get(self, parameters: Iterable[Tensor], compute: Callable[[], T], also: Hashable = ()) -> T:
        """The value, computed if it has to be."""
        parameters = list(parameters)
        found = self.find(parameters, also)
        return self.store(parameters, compute(), also) if found is None else found

    def __deepcopy__(self, memo: dict[int, Any]) -> Kept[T]:
        return Kept()

    def __reduce__(self) -> tuple[type[Kept[T]], tuple[()]]:
        return (Kept, ())


def _key(parameters: Iterable[Tensor], also: Hashable) -> tuple[Any, ...] | None:
    """What identifies the values of the parameters; None where torch does not count versions."""
    parameters = list(parameters)
    if any(p.is_inference() for p in parameters):
        return None
    return also, *((p.data_ptr(), p._version, p.dtype, p.device, p.shape) for p in parameters)
