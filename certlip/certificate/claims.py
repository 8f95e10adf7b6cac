"""What is claimed of the samples: the part of a certificate that is about data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from certlip.certification import Eps, Radii, Status
from certlip.data import Dataset

CERTIFIED, MISCLASSIFIED, UNKNOWN = 0, 1, 2
_CODES = {Status.CERTIFIED: CERTIFIED, Status.MISCLASSIFIED: MISCLASSIFIED}


@dataclass(frozen=True)
class Claims:
    """The samples and what is claimed of them; arrays have one row per sample.

    Args:
        name, split, sha256: The dataset.
        x: float64 (n, d), or the uint8 bytes with their divisor.
        divisor: x is the double nearest to bytes/divisor; None if x is float64.
        label, predicted: int64.
        status: int64, CERTIFIED, MISCLASSIFIED or UNKNOWN.
        radius_lower: float64, 0 where not certified.
        states: Guesses of the equilibrium states by block number.
        eps: ε as written and its double, rounded up.
        natural_correct, certified_correct: The counts.
    """

    name: str
    split: str
    sha256: str
    x: np.ndarray
    divisor: int | None
    label: np.ndarray
    predicted: np.ndarray
    status: np.ndarray
    radius_lower: np.ndarray
    states: Mapping[int, np.ndarray]
    eps: Mapping[str, float]
    natural_correct: int
    certified_correct: Mapping[str, int]


def claims_of(radii: Radii, data: Dataset, eps: Sequence[Eps]) -> Claims:
    """The claims of one run of `certify` with `keep_states=True` on `data`.

    States are left out (zeros, which take no room) where nothing is certified. A certificate names a
    class for every sample: one that ended in an error gets a class other than its label, so that it is
    not counted as correct, and it claims nothing.
    """
    none, certified = radii.predicted < 0, (radii.status == Status.CERTIFIED)[:, None]
    return Claims(
        name=data.name,
        split=data.split,
        sha256=data.sha256(),
        x=data.x if data.raw is None else data.raw,
        divisor=data.divisor,
        label=radii.label,
        predicted=np.where(none, np.where(radii.label == 0, 1, 0), radii.predicted),
        status=np.array([_CODES.get(Status(s), UNKNOWN) for s in radii.status]),
        radius_lower=radii.radius_lower,
        states={k: np.where(certified, z, 0.0) for k, z in radii.states.items()},
        eps={e.text: e.upper for e in eps},
        natural_correct=radii.natural_correct(),
        certified_correct={e.text: int(radii.certified_at(e).sum()) for e in eps},
    )
