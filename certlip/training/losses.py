"""The loss of the reference recipes: cross entropy that asks for a margin before it is content."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def margin_cross_entropy(
    logits: Tensor, label: Tensor, offset: float, temperature: float
) -> Tensor:
    """t·CE((f(x) − offset·1_label)/t, label), averaged over the batch.

    An offset of √2·ε asks an L = 1 classifier for a certified radius of about ε; a small temperature
    makes the loss care about the hard samples only (Prach & Lampert, 2022; Araujo et al., 2023).
    """
    shifted = logits - offset * F.one_hot(label, logits.shape[1]).to(logits.dtype)
    return temperature * F.cross_entropy(shifted / temperature, label)
