"""What an attack is: a search for points of certified balls where another class may win."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from certlip.certification.attacks.norms import Norm
from certlip.certification.attacks.target import Target


@dataclass(frozen=True)
class Claims:
    """For rows x (n, d): the class at every x′ with ‖x′ − x[i]‖ ≤ radius[i] > 0 is label[i]."""

    x: np.ndarray
    label: np.ndarray
    radius: np.ndarray
    norm: Norm

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows) -> Claims:
        return replace(self, x=self.x[rows], label=self.label[rows], radius=self.radius[rows])

    def tensors(self, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor, Tensor]:
        """x (n, d), label (n,) and radius (n, 1) for a search."""
        x, radius = (torch.from_numpy(a).to(device, dtype) for a in (self.x, self.radius))
        return x, torch.from_numpy(self.label).to(device), radius[:, None]


class Attack(ABC):
    """A search. An instance holds its settings and nothing else.

    Law: whatever `run` yields, calling the attack yields points of the balls only, exactly.
    """

    @abstractmethod
    def run(
        self, target: Target, claims: Claims, generator: torch.Generator
    ) -> Iterator[np.ndarray]:
        """Candidates (n, d), one per claim and as often as it likes; float64, inside or nearly."""

    @final
    def __call__(
        self, target: Target, claims: Claims, generator: torch.Generator
    ) -> Iterator[np.ndarray]:
        """Points (n, d) with ‖points − x‖ ≤ radius; x itself where a candidate cannot be moved inside."""
        for points in self.run(target, claims, generator):
            yield claims.norm.pulled(claims.x, points, claims.radius)
