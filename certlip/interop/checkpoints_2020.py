"""Which of the models of Revay, Wang & Manchester (2020) a state dict holds, by its entries.

Source: arXiv:2010.01732 and the names in its published code.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from certlip.errors import InputError
from certlip.interop.reading import load_state_dict

#: What the names of entries may begin with: a data-parallel wrapper, the splitting solver's module.
PREFIXES = ("module.", "mon.linear_module.")


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, or of a checkpoint that holds one, by their short names."""
    return load_state_dict(path, PREFIXES, "model_state_dict")


def expect_format(path: Path, tensors: Mapping[str, Tensor], name: str) -> None:
    """Raises an `InputError` that names the format a file is in, where it seems to be in another one."""
    found = _format_of(tensors)
    if found is not None and found != name:
        raise InputError(
            f"{path}: its entries are those of {found}; convert it with --from {found}"
        )


def on_images(tensors: Mapping[str, Tensor]) -> bool:
    """Whether an LBEN checkpoint is one on images: Ψ per pixel."""
    return "psi" in tensors and tensors["psi"].ndim == 3


def positive_exp(log_psi: Tensor) -> Tensor:
    """Ψ = exp(psi), rounded: from here on a frozen number.

    Raises:
        InputError: it overflows or underflows.
    """
    psi = torch.exp(log_psi)
    if not bool((torch.isfinite(psi) & (psi > 0.0)).all()):
        raise InputError("psi: exp(psi) is no positive finite double")
    return psi


def _format_of(tensors: Mapping[str, Tensor]) -> str | None:
    names = set(tensors)
    if "psi" in names:
        return "lben-2021"
    return "mondeq-2020" if {"A.weight", "B.weight", "U.weight"} <= names else None
