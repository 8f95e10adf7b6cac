"""Who decides that another class won: the rigorous enclosure, or the deployed float32 evaluation itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from certlip.blocks import Network
from certlip.certification.attacks.target import Target
from certlip.certification.enclosure import Encloser
from certlip.linalg.rigorous.bounds import SQRT2
from certlip.linalg.rigorous.rounding import down, up
from certlip.lmi import NetworkProof

#: A point goes to the enclosure if its computed margin is at most this, relative to its logits.
NEAR = 1e-6
#: The same for float32 evaluations of rows together and alone.
NEAR32 = 1e-4


@dataclass(frozen=True)
class Verdicts:
    """Per point: a class that is at least as large as the label, −1 where none is known to be.

    y (n, classes) are the logits that it was seen in, `error` (n,) how far they are from those meant.
    """

    other: np.ndarray
    y: np.ndarray
    error: np.ndarray


class Judge(ABC):
    """Decides for points, whoever found them. What it calls another class is one."""

    semantics: ClassVar[str]

    @abstractmethod
    def __init__(self, network: Network, proof: NetworkProof, target: Target) -> None: ...

    @abstractmethod
    def __call__(self, points: np.ndarray, label: np.ndarray) -> Verdicts:
        """Verdicts on points (n, d), n ≤ ROWS."""


class RealJudge(Judge):
    """The network in real arithmetic: another logit is larger by more than the enclosure leaves open.

    The enclosure costs more than an evaluation, so it is asked only where another class is near.
    """

    semantics = "real"

    def __init__(self, network: Network, proof: NetworkProof, target: Target) -> None:
        self.encloser = Encloser(network, proof, device=target.device)
        self.encloser.guess = self.encloser.fine  # asked rarely, and then about small margins
        self.target = target

    def __call__(self, points: np.ndarray, label: np.ndarray) -> Verdicts:
        y = self.target.logits(points).cpu().numpy()
        verdicts = _ahead(y, np.full(len(y), np.inf), label)
        # written so that NaN asks too
        near = np.flatnonzero(~(_gain(y, label).max(axis=1) < -NEAR * np.abs(y).max(axis=1)))
        if len(near):
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                enclosure = self.encloser(np.ascontiguousarray(points[near]))
                asked = _ahead(enclosure.y, enclosure.error, label[near])
            for name in ("other", "y", "error"):
                getattr(verdicts, name)[near] = getattr(asked, name)
        return verdicts


class Float32Judge(Judge):
    """The deployed float32 evaluation of the point, cast: its largest logit is not the label's alone.

    Rows are looked at together first. A batch may round in another way than a row that is alone, which is
    what anybody can repeat.
    """

    semantics = "float32"

    def __init__(self, network: Network, proof: NetworkProof, target: Target) -> None:
        del network, proof  # it says of itself what it does
        self.target = target

    def __call__(self, points: np.ndarray, label: np.ndarray) -> Verdicts:
        cast = torch.from_numpy(points.astype(np.float32)).to(self.target.device)
        y = self._against(cast, label)
        near = ~(_gain(y, label).max(axis=1) < -NEAR32 * np.abs(y).max(axis=1))
        for i in np.flatnonzero(near):
            y[i] = self._against(cast[i : i + 1], label[i : i + 1])[0]
        return _ahead(y, np.zeros(len(y)), label)

    def _against(self, cast: Tensor, label: np.ndarray) -> np.ndarray:
        """The logits; one that is no number does not speak for the label."""
        with torch.no_grad():
            y = self.target.deployed(cast).cpu().numpy().astype(np.float64)
        row = np.arange(len(label))
        own = y[row, label]
        y = np.where(np.isnan(y), np.inf, y)
        y[row, label] = np.where(np.isnan(own), -np.inf, own)
        return y


def _gain(y: np.ndarray, label: np.ndarray) -> np.ndarray:
    """How far every logit is ahead of the label's; −∞ for the label itself and for what is no number."""
    row = np.arange(len(label))
    with np.errstate(over="ignore", invalid="ignore"):
        gain = y - y[row, label][:, None]
    gain[row, label] = -np.inf
    return np.where(np.isnan(gain), -np.inf, gain)


def _ahead(y: np.ndarray, error: np.ndarray, label: np.ndarray) -> Verdicts:
    gain = _gain(y, label)
    other = gain.argmax(axis=1)
    most = gain.max(axis=1)
    # equal logits without any error are a tie, and a tie is no win of the label
    proven = (down(down(most) - up(SQRT2.value * error)) >= 0.0) | ((error == 0.0) & (most >= 0.0))
    return Verdicts(np.where(proven, other, -1), y, error)


#: What claims of a semantics are about: those of float32 are about the real network as well.
JUDGES: dict[str, tuple[type[Judge], ...]] = {
    "real": (RealJudge,),
    "float32": (RealJudge, Float32Judge),
}
