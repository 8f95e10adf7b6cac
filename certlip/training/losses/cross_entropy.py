"""The loss of the reference recipes: cross entropy that asks for a margin before it is content."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from certlip.training.losses.base import LogitLoss
from certlip.training.tables import require


@dataclass(frozen=True)
class CrossEntropy(LogitLoss):
    """t·CE((f(x) − offset·1_label)/t, label).

    An offset of √2·ε·L asks an L-Lipschitz classifier for a certified radius of about ε; a small
    temperature t makes the loss care about the hard samples only (Prach & Lampert, 2022; Araujo et al.,
    2023: offset 3/√2, Havens et al., 2023: offset √2, both t = 1/4).

    Args:
        offset: In units of the logits, ≥ 0.
        temperature: t > 0.
    """

    name = "cross-entropy"
    offset: float = 0.7071
    temperature: float = 0.1

    def __post_init__(self) -> None:
        require("offset", self.offset)
        require("temperature", self.temperature, above=0.0)

    def of_logits(self, logits: Tensor, label: Tensor) -> Tensor:
        return margin_cross_entropy(logits, label, self.offset, self.temperature)


def margin_cross_entropy(
    logits: Tensor, label: Tensor, offset: float, temperature: float
) -> Tensor:
    """The formula of `CrossEntropy` for logits (n, classes)."""
    shifted = logits - offset * F.one_hot(label, logits.shape[1]).to(logits.dtype)
    return temperature * F.cross_entropy(shifted / temperature, label)
