"""Certified radii of samples, a column per property."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certlip.certification.eps import Eps
from certlip.certification.status import Status
from certlip.errors import InputError


@dataclass(frozen=True)
class Radii:
    """Per sample: what was proven. `states` holds the guesses a checker needs, by block number.

    `radius_lower` is in the first norm that was asked for. `radius_linf` and `method_linf` ("interval",
    "dual", "l2", or None where there is no radius) are there where ℓ∞ was.
    """

    label: np.ndarray
    predicted: np.ndarray  # −1 where the status is error: no class, so never a correct one
    status: np.ndarray  # of Status
    margin_lower: np.ndarray
    radius_lower: np.ndarray
    residual: np.ndarray
    states: dict[int, np.ndarray]
    radius_linf: np.ndarray | None = None
    method_linf: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.label)

    def certified_at(self, eps: Eps) -> np.ndarray:
        """Which samples are certified for every perturbation of norm ≤ ε."""
        return (self.status == Status.CERTIFIED) & (self.radius_lower >= eps.upper)

    def natural_correct(self) -> int:
        """Correctly classified samples (predictions are computed, not proven, without a radius)."""
        return int((self.predicted == self.label).sum())


def joined(parts: list[Radii]) -> Radii:
    """The radii of samples one after the other.

    Raises:
        InputError: there are none.
    """
    if not parts:
        raise InputError("no samples: nothing to certify")

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    states = {k: np.concatenate([part.states[k] for part in parts]) for k in parts[0].states}
    names = ("label", "predicted", "status", "margin_lower", "radius_lower", "residual")
    if parts[0].radius_linf is not None:
        names = (*names, "radius_linf", "method_linf")
    return Radii(**{name: column(name) for name in names}, states=states)
