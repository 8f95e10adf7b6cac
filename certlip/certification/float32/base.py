"""What a bound of a block's own float32 error is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np


class LocalError(ABC):
    """How far the float32 evaluation of one block is from the block, for any input of a given size."""

    @abstractmethod
    def __call__(self, N: np.ndarray) -> np.ndarray:
        """(batch,) ≥ ‖fl(f(x)) − f(x)‖₂ for every float32 x with ‖x‖₂ ≤ N (batch,).

        f is the block in real arithmetic with its stored float64 numbers, fl(f) what float32 makes of it,
        which rounds those numbers first. Infinite where a number on the way may overflow.
        """
