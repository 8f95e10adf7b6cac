"""What a frozen block is: named float64 arrays, plain metadata, and the function they determine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from certlip.blocks.activations import Sigma, activation
from certlip.errors import InputError


class Block(ABC):
    """A function R^in → R^out given by stored numbers, with a rule for its Lipschitz constant.

    Subclasses are frozen dataclasses; every array is a finite, contiguous float64 CPU tensor,
    checked and copied at construction, and never changed afterwards.
    """

    kind: ClassVar[str]
    array_names: ClassVar[tuple[str, ...]] = ()
    #: Whole numbers and words that belong to the function, such as the size of an image.
    plain_names: ClassVar[tuple[str, ...]] = ()
    has_sigma: ClassVar[bool] = False

    @property
    @abstractmethod
    def in_width(self) -> int: ...

    @property
    @abstractmethod
    def out_width(self) -> int: ...

    def arrays(self) -> dict[str, Tensor]:
        """The arrays by their names in docs/certificate.md."""
        return {name: getattr(self, name) for name in self.array_names}

    def meta(self) -> dict[str, Any]:
        """The plain values that belong to the function, JSON-ready."""
        meta = {name: getattr(self, name) for name in self.plain_names}
        sigma = getattr(self, "sigma", None)
        if sigma is not None:
            meta["sigma"] = [[k.name, count, k.parameters] for k, count in sigma.segments]
        return meta

    @classmethod
    def from_parts(cls, arrays: dict[str, Tensor], meta: dict[str, Any]) -> Block:
        """Rebuilds the block from `arrays()` and `meta()`.

        Raises:
            InputError: an array or value is missing, superfluous or malformed.
        """
        if set(arrays) != set(cls.array_names):
            raise InputError(
                f"{cls.kind} block with arrays {sorted(arrays)}: expected {sorted(cls.array_names)}"
            )
        values: dict[str, Any] = dict(arrays)
        if set(meta) != {*cls.plain_names, *(["sigma"] if cls.has_sigma else [])}:
            raise InputError(f"{cls.kind} block with metadata {sorted(meta)}: not what it needs")
        values |= {name: meta[name] for name in cls.plain_names}
        if cls.has_sigma:
            values["sigma"] = parse_sigma(meta["sigma"])
        return cls(**values)

    def describe(self) -> str:
        """The shapes in a few words, for tables."""
        return f"{self.in_width} → {self.out_width}"


def parse_sigma(value: Any) -> Sigma:
    """Reads the segments `[[name, count, parameters], …]` of a document."""
    segments = []
    try:
        for name, count, parameters in value:
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise InputError(f"activation segment of {count!r} coordinates: expected ≥ 1")
            segments.append((activation(name, dict(parameters)), count))
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"activation segments {value!r}: expected [name, count, {{}}]") from None
    return Sigma(tuple(segments))


def checked(kind: str, name: str, value: Any, *, ndim: int) -> Tensor:
    """A finite float64 CPU tensor of that many axes, or an `InputError` that says what it is."""
    where = f"{kind} block: {name}"
    if not isinstance(value, Tensor):
        raise InputError(f"{where} is a {type(value).__name__}: expected a tensor")
    if value.dtype != torch.float64:
        raise InputError(
            f"{where} is {value.dtype}: expected torch.float64 (cast where it is read)"
        )
    if value.is_nested:
        raise InputError(f"{where} is a nested tensor: expected a dense one")
    if value.ndim != ndim or value.numel() == 0:
        raise InputError(f"{where} has shape {tuple(value.shape)}: expected {ndim} nonempty axes")
    if value.layout != torch.strided or value.device.type != "cpu":
        raise InputError(f"{where} is {value.layout} on {value.device}: expected dense, on the CPU")
    value = value.detach()
    # a stored view with stride 0 may claim far more entries than it has: never expand it unasked
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise InputError(f"{where} of shape {tuple(value.shape)} repeats its storage")
    # a copy of its own: training goes on in place on the tensors that were frozen
    value = value.clone(memory_format=torch.contiguous_format)
    if not bool(torch.isfinite(value).all()):
        index = tuple(int(i) for i in (~torch.isfinite(value)).nonzero()[0])
        raise InputError(f"{where}{list(index)} = {value[index].item()}: expected finite numbers")
    return value


def expect_shape(kind: str, name: str, value: Tensor, shape: tuple[int, ...], because: str) -> None:
    """Raises an `InputError` unless the tensor has the shape; `because` says where that is from."""
    if tuple(value.shape) != shape:
        raise InputError(
            f"{kind} block: {name} has shape {tuple(value.shape)}: expected {shape} ({because})"
        )


def check_counts(kind: str, **counts: Any) -> None:
    """Raises an `InputError` unless every value is a whole number of at least 1."""
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{kind} block: {name} = {value!r}: expected a whole number ≥ 1")


def check_slopes(kind: str, sigma: Sigma) -> None:
    """Raises unless every slope of σ lies in [0, 1], which every rule of certlip needs."""
    if not isinstance(sigma, Sigma):
        raise InputError(f"{kind} block: sigma is a {type(sigma).__name__}: expected a Sigma")
    if sigma.width == 0:
        raise InputError(f"{kind} block: σ has no coordinates: expected at least 1")
    low, high = sigma.slopes
    if not (low >= 0.0 and high <= 1.0):
        raise InputError(f"{kind} block: {sigma} has slopes in [{low}, {high}]: expected [0, 1]")
