"""Certified ℓ2 radii: R = min_j m̲_j / L̄_aj, rounded down, in raw input units; and ℓ∞ radii beside them.

The class a is constant for every ‖x′ − x‖ < min_j m̲_j/L̄_aj; the reported radius lies strictly
below that quotient, so "≤ radius" is true. No margin, no radius; a tie is never certified.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from certlip.blocks import Network
from certlip.certification.enclosure import Encloser
from certlip.certification.enclosure.network import ROWS, padded
from certlip.certification.eps import Eps
from certlip.certification.float32 import Deployed
from certlip.certification.interval import LinfRadii
from certlip.certification.radii import Radii, joined
from certlip.certification.samples import check_samples
from certlip.certification.semantics import parse_semantics
from certlip.certification.status import Status
from certlip.errors import UnsupportedError
from certlip.linalg.rigorous.bounds import SQRT2
from certlip.linalg.rigorous.rounding import down, up
from certlip.lmi import NetworkProof
from certlip.lmi.pairs import lowered, pair_bounds

#: Relative room left in a radius for the checker's own order of rounding.
ROOM = 2.0**-40


class Certifier:
    """Certifies the samples of one proven network, a batch at a time, with no memory of the others.

    Args:
        network: The frozen network.
        proof: Its proof.
        device: Where guesses are computed; the verification is on the CPU whatever this is.
        semantics: As `certlip.certification.semantics` reads it.
        norms: Of `certlip.certification.norms.NORMS`, in that order.
        eps_linf: ℓ∞ radii at which a sample is certified exactly if its box proves it.
        boxes: Of `certlip.certification.interval.radii.BOXES`: "dual" is tighter, and several times slower.

    Raises:
        UnsupportedError: float32 semantics of a block whose evaluation has no a-priori bound, or in the
            ℓ∞ norm.
    """

    def __init__(
        self,
        network: Network,
        proof: NetworkProof,
        *,
        device: str = "cpu",
        semantics: str = "real",
        norms: Sequence[str] = ("l2",),
        eps_linf: Sequence[Eps] = (),
        boxes: str = "interval",
    ) -> None:
        meant = parse_semantics(semantics)
        if semantics != "real" and "linf" in norms:
            raise UnsupportedError(f"the ℓ∞ norm with {semantics} semantics: boxes bound real only")
        self.network, self.norms = network, tuple(norms)
        self.linf = LinfRadii(network, eps_linf, boxes) if "linf" in norms else None
        self.deployed = Deployed(network, proof, meant.steps) if meant.name == "float32" else None
        self.encloser = Encloser(network, proof, device=device)
        self.bounds = lowered(pair_bounds(network, proof.lip, proof.before_last()), proof)

    def __call__(self, x: np.ndarray, label: np.ndarray, *, keep_states: bool = False) -> Radii:
        """Radii of x (n, d), n ≤ ROWS, with labels (n,).

        A product may round a row by its position among ROWS rows: a dataset that is cut at multiples
        of ROWS gets the same numbers whatever else is certified, in whatever order.

        Raises:
            InputError: x or label does not fit the network.
        """
        check_samples(self.network, x, label)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            radii = _batch(self.encloser, self.bounds, x, label, keep_states, self.deployed)
            return radii if self.linf is None else self._with_linf(self.linf, x, radii)

    def _with_linf(self, linf: LinfRadii, x: np.ndarray, radii: Radii) -> Radii:
        n = len(radii)  # padded for the same reason
        predicted = padded(radii.predicted[:, None], ROWS)[:, 0].astype(np.int64)
        l2 = padded(radii.radius_lower[:, None], ROWS)[:, 0]
        found = linf(padded(x, ROWS), np.maximum(predicted, 0), l2)
        radii = replace(radii, radius_linf=found.radius_lower[:n], method_linf=found.method[:n])
        if "l2" in self.norms:
            return radii
        status = radii.status.copy()
        status[(status == Status.CERTIFIED) & ~(found.radius_lower[:n] > 0.0)] = Status.UNKNOWN
        return replace(radii, radius_lower=found.radius_lower[:n], status=status)


def certify(
    network: Network,
    proof: NetworkProof,
    x: np.ndarray,
    label: np.ndarray,
    *,
    device: str = "cpu",
    semantics: str = "real",
    norms: Sequence[str] = ("l2",),
    eps_linf: Sequence[Eps] = (),
    keep_states: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Radii:
    """Certified radii of the samples x (n, d), float64 raw units, with labels (n,).

    Raises:
        InputError: x does not fit the network, a label is no class of it, or there are not two.
        UnsupportedError: as `Certifier` says.
    """
    check_samples(network, x, label)
    certifier = Certifier(
        network, proof, device=device, semantics=semantics, norms=norms, eps_linf=eps_linf
    )
    return certify_with(certifier, x, label, keep_states=keep_states, on_progress=on_progress)


def certify_with(
    certifier: Certifier,
    x: np.ndarray,
    label: np.ndarray,
    *,
    keep_states: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Radii:
    """Radii of any number of samples, a batch at a time.

    Raises:
        InputError: x or label does not fit the network.
    """
    n = x.shape[0]
    parts: list[Radii] = []
    for start in range(0, n, ROWS):
        rows = slice(start, min(start + ROWS, n))
        parts.append(certifier(x[rows], label[rows], keep_states=keep_states))
        if on_progress is not None:
            on_progress(rows.stop, n)
    return joined(parts)


def _batch(
    encloser: Encloser,
    bounds: np.ndarray,
    x: np.ndarray,
    label: np.ndarray,
    keep_states: bool,
    deployed: Deployed | None,
) -> Radii:
    x = np.ascontiguousarray(x)
    enclosure = encloser(x)
    enclosure = encloser.refined(x, enclosure, enclosure.uncertain(label))
    y, error = enclosure.y, enclosure.error
    row = np.arange(len(label))
    predicted = np.where(np.isfinite(y), y, -np.inf).argmax(axis=1)
    # m̲_j: one rounded subtraction, then √2·E for the errors of both logits
    margins = down(down(y[row, predicted][:, None] - y) - up(SQRT2.value * error)[:, None])
    quotients = down(margins / bounds[predicted])
    margins[row, predicted] = quotients[row, predicted] = np.inf
    radius = down(quotients.min(axis=1) * (1.0 - ROOM))
    if deployed is not None:
        margins, radius = deployed.shortened(enclosure.norms, margins, bounds[predicted], radius)
    margin = margins.min(axis=1)
    finite = np.isfinite(y).all(axis=1) & np.isfinite(error)
    correct = predicted == label
    proven = finite & correct & (margin > 0.0) & (radius > 0.0) & np.isfinite(radius)
    status = np.full(len(label), Status.UNKNOWN, dtype=object)
    status[finite & ~correct] = Status.MISCLASSIFIED
    status[proven] = Status.CERTIFIED
    status[~finite] = Status.ERROR
    predicted[~finite] = -1
    return Radii(
        label=label,
        predicted=predicted,
        status=status,
        margin_lower=np.where(finite & (margin > 0.0), margin, 0.0),
        radius_lower=np.where(proven, radius, 0.0),
        residual=enclosure.residual,
        states=enclosure.states if keep_states else {},
    )
