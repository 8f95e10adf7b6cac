"""What a network takes: rows of its width, and labels of its classes."""

from __future__ import annotations

import numpy as np

from certlip.blocks import Network
from certlip.errors import InputError


def check_samples(network: Network, x: np.ndarray, label: np.ndarray) -> None:
    """Refuses samples that the network does not take.

    Raises:
        InputError: x is not float64 (n, in_width), label not (n,) of the network's classes, or the
            network has fewer than two.
    """
    n = x.shape[0]
    if network.classes < 2:
        raise InputError("the model has one output: a class needs at least two logits")
    if x.ndim != 2 or x.shape[1] != network.in_width:
        raise InputError(
            f"data of shape {x.shape}: the model takes {network.in_width} numbers per sample"
        )
    if x.dtype != np.float64:
        raise InputError(f"data of {x.dtype}: expected float64, the numbers that are certified")
    if label.shape != (n,) or not np.issubdtype(label.dtype, np.integer):
        raise InputError(f"labels {label.dtype} {label.shape}: expected {n} integers")
    if n and not (label.min() >= 0 and label.max() < network.classes):
        raise InputError(
            f"labels from {label.min()} to {label.max()}: the model has {network.classes} classes"
        )
