"""Proven Lipschitz bounds of the differences of two logits, L̄_ab ≥ Lip(f_a − f_b), without an LMI."""

from __future__ import annotations

import numpy as np

from certlip.blocks import Affine, Network
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import UpperBound
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.bounds import SQRT2


def pair_bounds(network: Network, lip: UpperBound, before_last: UpperBound | None) -> np.ndarray:
    """L̄ (classes, classes): √2·L in general, L_prev·‖w_a − w_b‖ where the last block is affine.

    The diagonal is not used.

    Args:
        network: With one logit per class.
        lip: L of the whole network.
        before_last: L_prev of all blocks but the last, None if none is proven.

    Raises:
        InconclusiveError: √2·L is above the largest double.
    """
    classes = network.classes
    try:
        general = (SQRT2 * lip).value
    except ValueError as error:
        raise InconclusiveError(f"the bound of a pair: {error}") from None
    bounds = np.full((classes, classes), general)
    last = network.blocks[-1]
    if isinstance(last, Affine) and before_last is not None:
        for a in range(classes):
            W = last.W.numpy()
            rows = (Ball(W[a : a + 1]) - Ball(W)).norm_upper()
            for b in range(classes):
                if a != b:
                    try:
                        pair = before_last * UpperBound(float(rows[b]))
                    except ValueError:  # above the largest double
                        continue
                    bounds[a, b] = min(general, pair.value)
    return bounds
