"""The local result of one block: an output that is used as exact from here on, and its proven
error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Local:
    """Output y (batch, q) and δ (batch,) with ‖y − f_k(input)‖₂ ≤ δ; z and its residual, if implicit."""

    y: np.ndarray
    delta: np.ndarray
    z: np.ndarray | None = None
    residual: np.ndarray | None = None
