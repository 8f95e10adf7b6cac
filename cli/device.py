"""Where guesses are computed."""

from __future__ import annotations

from certlip.errors import InputError


def resolve_device(name: str) -> str:
    """`auto` is CUDA when there is one.

    Raises:
        InputError: no such device here.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if name == "cpu":
        return name
    if kind != "cuda" or (index and not index.isdigit()):
        raise InputError(f"--device {name}: expected auto, cpu, cuda or cuda:i")
    if not torch.cuda.is_available() or int(index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {name}: this machine has no such device")
    return name
