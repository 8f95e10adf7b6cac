"""Cross entropy of the worst margins of boxes that grow during training.

Sources: Gowal et al., ICCV 2019 (the two schedules); Shi, Wang, Zhang, Yi & Hsieh, NeurIPS 2021 (the
regularisation while boxes grow).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from certlip.errors import InputError
from certlip.training.interval.warmup import balance, tightness
from certlip.training.losses.base import Loss
from certlip.training.tables import require

#: Of ε, at least: widths of layers are compared from the first step on.
SMALLEST = 1e-3


@dataclass(frozen=True)
class IntervalCrossEntropy(Loss):
    """κ·CE(f(x)) + (1 − κ)·CE(−m̲) + λ·tightness + μ·balance, m̲ the margins' lower bounds on ‖x′ − x‖∞ ≤ ε.

    While the share of training goes from `start` to `end`, ε grows from 0 to `eps` and κ goes from 1 to
    `kappa`, both linearly, and both penalties are weighed with what is left.

    Args:
        eps: ε > 0, in raw input units.
        kappa: κ at the end, in [0, 1].
        start, end: Shares of training, 0 ≤ start < end ≤ 1.
        tightness: λ ≥ 0, of `warmup.tightness`.
        tolerance: τ in (0, 1], of both.
        balance: μ ≥ 0, of `warmup.balance`.

    Raises:
        InputError: a value that is refused, or, in a call, a model without boxes.
    """

    name = "interval"
    eps: float = 0.1
    kappa: float = 0.0
    start: float = 0.05
    end: float = 0.5
    tightness: float = 0.5
    tolerance: float = 0.5
    balance: float = 0.0

    def __post_init__(self) -> None:
        require("eps", self.eps, above=0.0)
        for name in ("kappa", "start", "tightness", "balance"):
            require(name, getattr(self, name))
        require("tolerance", self.tolerance, above=0.0)
        if not (self.kappa <= 1.0 and self.tolerance <= 1.0 and self.start < self.end <= 1.0):
            raise InputError(
                f"loss interval with kappa = {self.kappa}, tolerance = {self.tolerance}, start = "
                f"{self.start}, end = {self.end}: expected numbers in [0, 1], start before end"
            )

    def __call__(self, model: nn.Module, x: Tensor, label: Tensor, share: float) -> Tensor:
        bounds = getattr(model, "bounds", None)
        if bounds is None:
            raise InputError(f"loss interval: {type(model).__name__} has no boxes to train with")
        grown = min(max((share - self.start) / (self.end - self.start), 0.0), 1.0)
        warms = grown < 1.0
        balanced = warms and self.balance > 0.0
        found = bounds(x, self.eps * max(grown, SMALLEST), label, inner=balanced)
        kappa = 1.0 - (1.0 - self.kappa) * grown
        worst = F.cross_entropy(-found.lower, label)
        loss = kappa * F.cross_entropy(found.logits, label) + (1.0 - kappa) * worst
        if warms and self.tightness:
            penalty = tightness(found.widths, self.tolerance)
            loss = loss + (1.0 - grown) * self.tightness * penalty
        if balanced and found.inner:
            penalty = balance(found.inner, self.tolerance)
            loss = loss + (1.0 - grown) * self.balance * penalty
        return loss
