"""Left and right."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from certlip.data.augment.base import Augmentation


@dataclass(frozen=True)
class Flip(Augmentation):
    """Every second image, at random, is mirrored left to right."""

    name = "flip"
    numbers = 1

    def apply(self, x: Tensor, u: Tensor) -> Tensor:
        mirrored = (u[:, 0] < 0.5).to(x.device)
        return torch.where(mirrored[:, None, None, None], x.flip(-1), x)
