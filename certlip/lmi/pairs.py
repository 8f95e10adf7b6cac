"""Proven Lipschitz bounds of the differences of two logits, L̄_ab ≥ Lip(f_a − f_b)."""

from __future__ import annotations

import numpy as np

from certlip.blocks import Affine, Network
from certlip.errors import InconclusiveError
from certlip.linalg.rigorous import UpperBound
from certlip.linalg.rigorous.ball import Ball
from certlip.linalg.rigorous.bounds import SQRT2, product
from certlip.lmi.network import NetworkProof
from certlip.lmi.proof import EquilibriumProof


def pair_bounds(network: Network, lip: UpperBound, before_last: UpperBound | None) -> np.ndarray:
    """L̄ (classes, classes): √2·L in general, L_prev·‖w_a − w_b‖ where the last block is affine.

    No LMI of a pair is used. The diagonal is not used.

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
                if a != b and rows[b] < np.inf:
                    lower(bounds, a, b, before_last, UpperBound(float(rows[b])))
    return bounds


def lower(bounds: np.ndarray, a: int, b: int, before: UpperBound, lip: UpperBound) -> None:
    """Lowers both bounds of a pair to that of its difference per unit of what enters the last block, `lip`,
    times what lies before, if that is less."""
    try:
        pair = before * lip
    except ValueError:  # above the largest double
        return
    bounds[a, b] = bounds[b, a] = min(bounds[a, b], pair.value)


def lowered(bounds: np.ndarray, proof: NetworkProof) -> np.ndarray:
    """L̄ (classes, classes) with ∏_{i<k} L_i·L_p where block k has proven pairs and that is less."""
    bounds = bounds.copy()
    for k, own in enumerate(proof.blocks):
        if not isinstance(own, EquilibriumProof) or own.pairs is None:
            continue
        before = product([earlier.lip for earlier in proof.blocks[:k]])
        for a, j, lip in zip(own.pairs.a, own.pairs.j, own.pairs.lip, strict=True):
            lower(bounds, int(a), int(j), before, UpperBound(float(lip)))
    return bounds


def pair_kinds(network: Network, proof: NetworkProof) -> dict[str, int]:
    """How many pairs of classes take their bound from an LMI, from two rows, or from √2·L."""
    every = np.triu_indices(network.classes, 1)
    by_rows = pair_bounds(network, proof.lip, proof.before_last())
    best, by_rows = lowered(by_rows, proof)[every], by_rows[every]
    lmi, rows = best < by_rows, by_rows < (SQRT2 * proof.lip).value
    return {
        "lmi": int(lmi.sum()),
        "rows": int((rows & ~lmi).sum()),
        "sqrt2": int((~rows & ~lmi).sum()),
    }
