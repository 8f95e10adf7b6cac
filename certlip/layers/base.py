"""What a trainable layer is: a torch module that can be frozen to blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available

from certlip.blocks import Activation, Block, Sigma
from certlip.blocks.activations import ActivationKind
from certlip.errors import InputError
from certlip.linalg.kept import Kept

T = TypeVar("T")

#: Frozen multipliers are moved to the safe side by this relative amount, so that the conditions hold
#: with room for rounding. The frozen network is what runs and what is proven.
NUDGE = 1e-9


class LipschitzLayer(nn.Module, ABC):
    """A layer whose parametrization keeps it L-Lipschitz in exact arithmetic.

    Law: `freeze()` gives blocks that compute the same function up to the nudge; the bound is proven
    on what is frozen, never taken from the parametrization.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: Kept[Any] = Kept()

    @abstractmethod
    def freeze(self) -> list[Block]:
        """The layer as float64 blocks; none if it only arranges coordinates anew."""

    def derived(self, compute: Callable[[], T]) -> T:
        """What the weights act by (T⁻¹, an orthogonal matrix, …): once per training step, and in
        evaluation once until a parameter changes; in the parameters' own precision, since the bound is
        a property of these numbers."""
        with full_precision(next(self.parameters()).device):
            if torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters()):
                return compute()
            return self._kept.get(self.parameters(), compute, getattr(self, "lip", None))


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Inside, an autocast that is active outside casts nothing."""
    if is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def positive_sizes(layer: str, **sizes: int) -> None:
    """Raises an `InputError` unless every size is at least 1."""
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{layer} layer with {name} = {value}: expected at least 1")


def checked_activation(layer: str, activation: ActivationKind) -> ActivationKind:
    """The activation, which every rule of certlip needs to have slopes in [0, 1].

    Raises:
        InputError: it is no activation of certlip, or has other slopes.
    """
    if not isinstance(activation, ActivationKind):
        raise InputError(
            f"{layer} layer with the activation {activation!r}: expected one of certlip.blocks"
        )
    low, high = activation.slopes
    if not (low >= 0.0 and high <= 1.0):
        raise InputError(
            f"{layer} layer: {activation!r} has slopes in [{low}, {high}]: expected [0, 1]"
        )
    return activation


def followed_by(activation: ActivationKind | None, block: Block) -> list[Block]:
    """The block, and behind it σ on all of its outputs unless that is None."""
    if activation is None:
        return [block]
    return [block, Activation(Sigma.of(activation, block.out_width))]


def frozen_parameters(layer: str, module: nn.Module) -> dict[str, Tensor]:
    """The module's own parameters by name, as float64 CPU tensors.

    Raises:
        InputError: an entry is not finite.
    """
    parameters = {
        name: p.detach().double().cpu() for name, p in module.named_parameters(recurse=False)
    }
    for name, value in parameters.items():
        require_finite(layer, name, value)
    return parameters


def require_finite(layer: str, name: str, value: Tensor) -> None:
    """Raises an `InputError` unless all entries are finite."""
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"{layer} layer: {name} has an entry that is not finite")
