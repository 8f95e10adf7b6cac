"""The hinge loss of several classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from certlip.training.losses.base import LogitLoss
from certlip.training.tables import require


@dataclass(frozen=True)
class MultiMargin(LogitLoss):
    """Σ_{j ≠ label} max(0, margin − (f_label(x) − f_j(x))) / classes.

    It is zero as soon as every margin is reached: margin = √2·ε·L asks for the radius ε and no more.

    Args:
        margin: In units of the logits, > 0.
    """

    name = "multi-margin"
    margin: float = 0.7071

    def __post_init__(self) -> None:
        require("margin", self.margin, above=0.0)

    def of_logits(self, logits: Tensor, label: Tensor) -> Tensor:
        return F.multi_margin_loss(logits, label, margin=self.margin)
