"""How a module is called in training: the precision of its products, and whether it is compiled."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from certlip.errors import InputError, UnsupportedError


class Mixed(nn.Module):
    """A module whose products with activations are in bfloat16; what comes out has the input's dtype.

    Layers make what they act by outside of it (`LipschitzLayer.derived`), so the same parameters have
    the same T, the same orthogonal matrices and the same norms as in full precision.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            y = self.module(x)
        return y.to(x.dtype)


def in_training(module: nn.Module, precision: str = "full", compiled: bool = False) -> nn.Module:
    """What training calls in place of the module: the same parameters, the same function to rounding.

    Raises:
        InputError: bfloat16 or a compiled module, for one that is trained in float64 or with boxes.
        UnsupportedError: nothing can be compiled here.
    """
    if precision != "full":
        _require_plain(f"--precision {precision}", module)
        module = Mixed(module)
    if compiled:
        _require_plain("--compile", module)
        _require_compiler(next(module.parameters()).device)
        module = _compiled(module)
    return module


def _require_plain(option: str, module: nn.Module) -> None:
    expected = f"{option}: expected a network of layers, trained in float32 without boxes"
    dtype = next(module.parameters()).dtype
    if dtype != torch.float32:
        name = str(dtype).removeprefix("torch.")
        raise InputError(f"{expected}; equilibria are solved in {name}")
    if hasattr(module, "bounds"):
        raise InputError(f"{expected}; {type(module).__name__} is trained with boxes")


def _require_compiler(device: torch.device) -> None:
    """Compiles x + 1: what is missing (a C++ compiler, Triton) shows here, before the data is read."""
    try:
        torch.compile(torch.add)(torch.zeros(2, device=device), 1.0)
    except Exception as error:  # the compiler raises anything
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UnsupportedError(f"--compile: not on this platform ({line[:160]})") from None


def _compiled(module: nn.Module) -> nn.Module:
    called = torch.compile(module)
    assert isinstance(called, nn.Module)
    return called
