"""The activations certlip has a sound rule for. To add one: its file, a line here, a test row."""

from __future__ import annotations

from collections.abc import Callable

from certlip.blocks.activations.base import ActivationKind as ActivationKind
from certlip.blocks.activations.elu import ELU as ELU
from certlip.blocks.activations.identity import Identity as Identity
from certlip.blocks.activations.leaky_relu import LeakyReLU as LeakyReLU
from certlip.blocks.activations.relu import ReLU as ReLU
from certlip.blocks.activations.sigma import Sigma as Sigma
from certlip.blocks.activations.tanh import Tanh as Tanh
from certlip.errors import InputError

ACTIVATIONS: dict[str, Callable[..., ActivationKind]] = {
    "identity": Identity,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "tanh": Tanh,
    "elu": ELU,
}


def activation(name: str, parameters: dict[str, float] | None = None) -> ActivationKind:
    """The activation of that name.

    Raises:
        InputError: unknown name (GELU, SiLU, MaxMin have slopes outside [0, 1] or are not
            elementwise), unknown parameter, or a parameter that takes the slope out of [0, 1].
    """
    if name not in ACTIVATIONS:
        raise InputError(f"unknown activation {name!r}: expected one of {', '.join(ACTIVATIONS)}")
    try:
        return ACTIVATIONS[name](**(parameters or {}))
    except TypeError:
        raise InputError(f"activation {name!r} does not take the parameters {parameters}") from None
