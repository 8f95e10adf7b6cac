"""The local result of one block: an output that is used as exact from here on, and its proven
error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from certlip.blocks import Sigma
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.rounding import TINY, up


@dataclass(frozen=True)
class Local:
    """Output y (batch, q) and δ (batch,) with ‖y − f_k(input)‖₂ ≤ δ; z and its residual, if implicit."""

    y: np.ndarray
    delta: np.ndarray
    z: np.ndarray | None = None
    residual: np.ndarray | None = None


def sigma_ball(sigma: Sigma, v: Ball) -> Ball:
    """σ of a ball: slopes in [0, 1] keep the radius, the function's own evaluation error is added."""
    s = sigma.forward(torch.from_numpy(np.ascontiguousarray(v.mid))).numpy()
    relative = sigma.relative_error().numpy()
    own = np.where(relative == 0.0, 0.0, up(relative * np.abs(s)) + TINY)
    return Ball(s, up(v.radius() + own))
