"""What blocks are enclosed by: the local result of one of them, and linear maps of rows near true ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from certlip.certification.enclosure.near import Near


@dataclass(frozen=True)
class Local:
    """Output y (batch, q) and δ (batch,) with ‖y − f_k(input)‖₂ ≤ δ; z and its residual, if implicit."""

    y: np.ndarray
    delta: np.ndarray
    z: np.ndarray | None = None
    residual: np.ndarray | None = None


class Map(ABC):
    """A convolution without bias; `numbers` is how many numbers a row of its largest array has."""

    numbers: int

    @abstractmethod
    def __call__(self, x: Near) -> Near: ...
