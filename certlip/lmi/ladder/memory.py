"""How much memory a computation may take here."""

from __future__ import annotations

from pathlib import Path

import torch

SHARE = 0.8  # of what is free


def available(device: str) -> float:
    """Bytes that may be used, infinite where the system does not say."""
    if device.startswith("cuda"):
        return SHARE * torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        (free,) = (line for line in lines if line.startswith("MemAvailable:"))
        return SHARE * 1024.0 * float(free.split()[1])
    except (OSError, ValueError):
        return float("inf")
